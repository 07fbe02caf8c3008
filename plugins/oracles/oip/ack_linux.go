package oip

import (
	"context"
	"net"
	"syscall"
)

// acking acknowledges what it reads at once. Servers that write an answer's head and its body one after the other, as those of Python's standard
// library do, hold the body back until the head is acknowledged (Nagle's algorithm), and by itself Linux waits 40 ms with that: for every call.
type acking struct {
	net.Conn
	raw syscall.RawConn
}

// Read asks for it each time, since the system goes back to waiting.
func (a acking) Read(p []byte) (int, error) {
	_ = a.raw.Control(func(socket uintptr) { // a slower answer is no error
		_ = syscall.SetsockoptInt(int(socket), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
	return a.Conn.Read(p)
}

// dialer returns dial with connections that acknowledge at once.
func dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			if raw, err := tcp.SyscallConn(); err == nil {
				return acking{c, raw}, nil
			}
		}
		return c, nil
	}
}
