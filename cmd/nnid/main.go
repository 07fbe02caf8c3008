// Command nnid identifies a network of two hidden layers from queries alone. This package wires the parts together,
// prints and exits; the mathematics is in core, the transport in sdk and core/host.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nnid/nnid/core/fastblas"
	"github.com/nnid/nnid/core/fastlapack"
	"github.com/nnid/nnid/core/fault"
	"github.com/nnid/nnid/sdk"
)

func main() {
	fastblas.Install()
	fastlapack.Install()
	// Before anything else: the built-in plugins live in this binary, which the host starts again to serve them.
	if sdk.InPluginProcess() {
		sdk.Serve(builtins())
	}
	os.Exit(run(os.Args[1:]))
}

// Exit statuses, part of the command's contract.
const (
	statusIdentified    = 0 // for other commands: done
	statusFailed        = 1
	statusUsage         = 2
	statusNotIdentified = 3
)

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once; plugins notice that and end too.
	context.AfterFunc(ctx, stop)

	command := newRoot(&streams{out: os.Stdout, err: os.Stderr})
	command.SetArgs(args)
	err := command.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errNotIdentified) {
		fmt.Fprintf(os.Stderr, "nnid: %v\n", err)
	}
	return status(err)
}

// errNotIdentified says that the run finished, files and all, without identifying the network. The summary has said
// why.
var errNotIdentified = errors.New("not identified")

func status(err error) int {
	switch {
	case err == nil:
		return statusIdentified
	case errors.Is(err, errNotIdentified):
		return statusNotIdentified
	case fault.Is(err, fault.Usage), fault.Is(err, fault.Unsupported): // another file, model or component has to be named
		return statusUsage
	}
	return statusFailed
}
