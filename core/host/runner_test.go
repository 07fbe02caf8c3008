//go:build unix

package host

import (
	"context"
	"os/exec"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// go-plugin kills a process when it sees the end of its output, which may be just before the host knows of its end. The
// process ended by itself all the same, and its exit status is what the user must hear of.
func TestKilledWhenDead(t *testing.T) {
	for _, c := range []struct {
		script string
		dead   bool // when the kill comes
		want   bool
	}{{"exit 3", true, true}, {"sleep 60", false, false}} {
		r := newRunner(exec.Command("sh", "-c", c.script), hclog.NewNullLogger())
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = r.handshake.Read(make([]byte, 1)) }()
		if c.dead {
			<-r.done
			r.done = make(chan struct{}) // as if that were not known yet
		}
		if err := r.Kill(context.Background()); err != nil {
			t.Error(err)
		}
		if !c.dead {
			<-r.done
		}
		if got := r.endedByItself(); got != c.want {
			t.Errorf("%s: ended by itself %v, want %v", c.script, got, c.want)
		}
	}
}
