package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/nnid/nnid"

type listedPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func listPackages(t *testing.T, patterns ...string) []listedPackage {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps"}, patterns...)...)
	command.Dir = "../.."
	output, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%s: %s", command, exit.Stderr)
		}
		t.Fatal(err)
	}
	var packages []listedPackage
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p listedPackage
		if err := decoder.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) == 0 {
		t.Fatalf("no packages match %v", patterns)
	}
	return packages
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

// TestLayers keeps the house in order; docs/architecture.md says why.
func TestLayers(t *testing.T) {
	transport := []string{"google.golang.org/grpc", "github.com/hashicorp/go-plugin", "google.golang.org/protobuf"}
	for _, p := range listPackages(t, "./core/...") {
		if within(p.ImportPath, module+"/core/host") {
			continue
		}
		for _, dep := range p.Deps {
			for _, folder := range append(transport, module+"/sdk", module+"/plugins", module+"/cmd", module+"/core/host") {
				if within(dep, folder) {
					t.Errorf("%s depends on %s: the core knows no transport and no plugin", p.ImportPath, dep)
				}
			}
		}
	}
	for _, p := range listPackages(t, "./sdk/...") {
		for _, dep := range p.Deps {
			if within(dep, module) && !within(dep, module+"/sdk") && dep != module+"/core" && dep != module+"/core/fault" {
				t.Errorf("%s depends on %s: the sdk carries interfaces and holds no algorithm", p.ImportPath, dep)
			}
		}
	}
	allowed := []string{module + "/sdk", module + "/sdk/python", module + "/core", module + "/core/fault", module + "/core/network", module + "/core/onnx"}
	for _, p := range listPackages(t, "./plugins/...") {
		family := strings.Join(strings.Split(p.ImportPath, "/")[:min(5, strings.Count(p.ImportPath, "/")+1)], "/")
		for _, dep := range p.Imports {
			switch {
			case !within(dep, module), slices.Contains(allowed, dep), within(dep, family):
			case p.ImportPath == module+"/plugins/oracles/network" && dep == module+"/plugins/activations":
				// A network file names activations, and the oracle evaluates it without a host.
			default:
				t.Errorf("%s imports %s: built-in plugins have no private door", p.ImportPath, dep)
			}
		}
	}
	for _, p := range listPackages(t, "./cmd/...") {
		for _, dep := range p.Imports {
			if within(dep, "gonum.org/v1/gonum") || within(dep, "google.golang.org/grpc") || within(dep, "github.com/hashicorp/go-plugin") {
				t.Errorf("%s imports %s: the command wires, prints and exits", p.ImportPath, dep)
			}
		}
	}
}
