package oip

import (
	"io"
	"net"
	"syscall"
	"testing"
)

// Connections acknowledge at once whatever they are about to read.
func TestAcking(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			io.Copy(c, c) // what is written comes back
			c.Close()
		}
	}()
	c, err := dialer((&net.Dialer{}).DialContext)(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw := c.(acking).raw
	set := func(value int) {
		_ = raw.Control(func(socket uintptr) {
			err = syscall.SetsockoptInt(int(socket), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, value)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	quick := 0
	_ = raw.Control(func(socket uintptr) {
		quick, err = syscall.GetsockoptInt(int(socket), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK)
	})
	if err != nil || quick != 1 {
		t.Errorf("acknowledgements wait (%d, %v)", quick, err)
	}
}
