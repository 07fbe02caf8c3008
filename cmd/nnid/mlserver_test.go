//go:build unix

package main

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// freePort returns a port of this machine that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// startMLServer has a real model server, MLServer, serve the network as scikit-learn's model "diabetes" until the test
// ends, and returns its ports for REST and for gRPC.
func startMLServer(t *testing.T, network string) (rest, grpc string) {
	t.Helper()
	python, path := needPython(t)
	rest, grpc = freePort(t), freePort(t)
	folder := t.TempDir()
	if output, err := exec.CommandContext(t.Context(), python, "testdata/mlserver/model.py", network, folder, rest, grpc).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(filepath.Join(filepath.Dir(python), "mlserver"), "start", folder)
	server.Env = append(os.Environ(), "PATH="+path)
	server.Stdout, server.Stderr = log, log
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL) // it has nothing to lose
		_ = server.Wait()
		_ = log.Close()
		if t.Failed() {
			t.Logf("the server's log:\n%s", readFile(t, log.Name()))
		}
	})
	waitFor(t, time.Minute, "model ready", func() bool {
		response, err := http.Get("http://127.0.0.1:" + rest + "/v2/models/diabetes/ready")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	waitFor(t, time.Minute, "port for gRPC", func() bool {
		connection, err := net.Dial("tcp", "127.0.0.1:"+grpc)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	})
	return rest, grpc
}

// encrypt puts encryption in front of a port, as a proxy of a real deployment does, and returns the new port and the file
// with its authority.
func encrypt(t *testing.T, port string) (encrypted, authority string) {
	t.Helper()
	given := httptest.NewUnstartedServer(nil) // for its certificate
	given.StartTLS()
	t.Cleanup(given.Close)
	authority = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: given.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: given.TLS.Certificates, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err != nil {
					return
				}
				var both sync.WaitGroup
				both.Go(func() { _, _ = io.Copy(server, client); server.Close() })
				both.Go(func() { _, _ = io.Copy(client, server); client.Close() })
				both.Wait()
			}()
		}
	}()
	_, encrypted, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return encrypted, authority
}

// A real model server serves a real library's model, and is asked by its real protocols: both give the same bits, and so
// the same network.
func TestMLServer(t *testing.T) {
	network, err := filepath.Abs("../../testdata/networks/diabetes-tanh-8-4.json")
	if err != nil {
		t.Fatal(err)
	}
	rest, grpc := startMLServer(t, network)
	encrypted, authority := encrypt(t, grpc)
	args := func(url, run string, more ...string) []string {
		return append([]string{"identify", "--oracle", "oip", "--oracle-option", "url=" + url, "--oracle-option", "model=diabetes",
			"--oracle-option", "inputs=10", "--activation", "tanh", "--run-dir", run}, more...)
	}
	var first string
	for name, c := range map[string][]string{
		"REST":                 {"http://127.0.0.1:" + rest},
		"gRPC":                 {"grpc://127.0.0.1:" + grpc},
		"gRPC with encryption": {"grpcs://127.0.0.1:" + encrypted, "--oracle-option", "ca-file=" + authority},
	} {
		run := filepath.Join(t.TempDir(), "run")
		status, stdout, stderr := nnid(t, args(c[0], run, c[1:]...)...)
		if status != 0 || !strings.Contains(stdout, "10 inputs, 8 + 4 neurons, tanh") {
			t.Fatalf("%s: status %d\n%s%s", name, status, stdout, stderr)
		}
		t.Logf("%s:\n%s", name, stdout)
		found := readFile(t, filepath.Join(run, "network.json"))
		if first == "" {
			first = found
			status, stdout, stderr = nnid(t, "compare", network, filepath.Join(run, "network.json"))
			t.Logf("status %d\n%s%s", status, stdout, stderr)
			if status != 0 {
				t.Error("the network found can't be compared with the one served")
			}
		}
		if found != first {
			t.Errorf("%s finds another network, if only by a bit", name)
		}
	}
	// What a real server says to a wrong name and a wrong size is a sentence too.
	for _, url := range []string{"http://127.0.0.1:" + rest, "grpc://127.0.0.1:" + grpc} {
		for wrong, words := range map[string]string{"model=diabetic": "diabetic", "inputs=11": "expecting 10 features"} {
			changed := args(url, filepath.Join(t.TempDir(), "run"))
			for k := range changed {
				if key, _, ok := strings.Cut(changed[k], "="); ok && strings.HasPrefix(wrong, key+"=") {
					changed[k] = wrong
				}
			}
			status, _, stderr := nnid(t, changed...)
			t.Log(stderr)
			if status == 0 || !strings.Contains(stderr, words) {
				t.Errorf("%s %s: status %d, %s", url, wrong, status, stderr)
			}
		}
	}
}
