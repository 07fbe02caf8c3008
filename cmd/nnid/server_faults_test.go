package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestServerFaults: everything a model server can do wrong is one sentence and one exit status.
func TestServerFaults(t *testing.T) {
	server := startModelServer(t)
	for _, c := range []struct {
		model  string
		status int
		text   string
	}{
		{"nan", statusFailed, "nan"},
		{"shape", statusFailed, "shape"},
		{"garbage", statusFailed, "JSON"},
		{"refuses", statusFailed, "the model is out of order"},
		{"flaky", statusNotIdentified, "budget"}, // repeated until it answers
		{"secret", -1, "401"},
		{"stringy", -1, "BYTES"},
		{"nobody", -1, "not found"},
	} {
		t.Run(c.model, func(t *testing.T) {
			status, stdout, stderr := nnid(t, "identify", "--quiet", "--activation", "tanh", "--max-queries", "60",
				"--oracle", "oip", "--oracle-option", "url="+server.URL, "--oracle-option", "model="+c.model)
			if status == statusIdentified || (c.status >= 0 && status != c.status) {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if c.status == statusNotIdentified {
				stderr = stdout // the reason is in the summary
			} else if strings.Count(stderr, "\n") != 1 {
				t.Errorf("stderr is not one line:\n%s", stderr)
			}
			if !strings.Contains(strings.ToLower(stderr), strings.ToLower(c.text)) {
				t.Errorf("got %q; want a sentence with %q", stderr, c.text)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		status, _, stderr := nnid(t, "identify", "--oracle", "oip", "--oracle-option", "url=http://127.0.0.1:1",
			"--oracle-option", "model=good", "--oracle-option", "retries=0")
		if status != statusFailed || !strings.Contains(stderr, "127.0.0.1:1") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("status %d, stderr %q", status, stderr)
		}
	})
}

// TestSecretsStaySecret: a token reaches the server, and nothing else.
func TestSecretsStaySecret(t *testing.T) {
	server := startModelServer(t)
	t.Setenv("NNID_OIP_TOKEN", "open-sesame")
	folder := filepath.Join(t.TempDir(), "run")
	status, stdout, stderr := nnid(t, "identify", "--activation", "tanh", "--max-queries", "60", "--run-dir", folder, "--log-level", "trace",
		"--oracle", "oip", "--oracle-option", "url="+server.URL, "--oracle-option", "model=secret")
	if status != statusNotIdentified || server.rows("secret") == 0 {
		t.Fatalf("status %d, stderr %s", status, stderr)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	texts := map[string]string{"stdout": stdout, "stderr": stderr}
	for _, file := range files {
		texts[file] = readFile(t, file)
	}
	for name, text := range texts {
		if strings.Contains(text, "open-sesame") {
			t.Errorf("%s holds the token", name)
		}
	}
}
