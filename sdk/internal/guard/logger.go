package guard

import (
	"os"

	"github.com/hashicorp/go-hclog"
)

// LevelVariable tells plugins the host's log level, so that lines that nobody would see aren't even written.
const LevelVariable = "NNID_LOG_LEVEL"

// The real standard error, whatever os.Stderr is set to later.
var stderr = os.Stderr

// Logger returns a logger of JSON lines on standard error, the form that hosts take apart.
func Logger() hclog.Logger {
	level := hclog.LevelFromString(os.Getenv(LevelVariable))
	if level == hclog.NoLevel {
		level = hclog.Info
	}
	return hclog.New(&hclog.LoggerOptions{Level: level, Output: stderr, JSONFormat: true})
}
