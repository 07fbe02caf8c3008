//go:build linux

package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// A plugin in another language needs no SDK: what docs/plugins.md says of the protocol is enough.
func TestForeign(t *testing.T) {
	python := os.Getenv("NNID_TEST_PYTHON") // .ci/run sets it; CONTRIBUTING.md has more
	if python == "" {
		for _, candidate := range []string{"python3", "/usr/bin/python3"} {
			if exec.Command(candidate, "-c", "import grpc, google.protobuf").Run() == nil {
				python = candidate
				break
			}
		}
	}
	if python == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("THIS TEST DID NOT RUN: the variable NNID_TEST_PYTHON must name a Python with grpcio and protobuf")
		}
		t.Skip("THIS TEST DID NOT RUN: there is no Python with grpcio and protobuf; the variable NNID_TEST_PYTHON may name one")
	}
	python, err := exec.LookPath(python)
	if err != nil {
		t.Fatal(err)
	}
	ctx, path := testContext(t), t.TempDir()
	script, err := os.ReadFile("testdata/foreign.py")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "nnid-plugin-foreign"), append([]byte("#!"+python+"\n"), script...), 0o700); err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	for _, file := range []protoreflect.FileDescriptor{nnidv1.File_nnid_v1_types_proto, nnidv1.File_nnid_v1_meta_proto, nnidv1.File_nnid_v1_activation_proto} {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	descriptors := filepath.Join(path, "descriptors")
	if err := os.WriteFile(descriptors, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NNID_TEST_DESCRIPTORS", descriptors)

	h := newHost(t, path, func(s *Settings) { s.StopTimeout = time.Minute })
	a, err := h.Activation(ctx, "square", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Facts().Symmetry != core.SymmetryEven {
		t.Errorf("facts %+v", a.Facts())
	}
	arguments := make([]float64, 300000) // chunks both ways
	arguments[299999] = -3
	values, err := a.Derivative(ctx, 0, arguments)
	if err != nil || values[299999] != 9 {
		t.Errorf("%v", err)
	}
	if values, err := a.Derivative(ctx, 1, []float64{2}); err != nil || values[0] != 4 {
		t.Errorf("%v, %v", values, err)
	}
	if _, err := a.Derivative(ctx, 2, []float64{2}); !fault.Is(err, fault.Usage) || err.Error() != "the order must be 0 or 1" {
		t.Errorf("a status: %v", err)
	}
	if _, err := a.Derivative(ctx, 3, []float64{2}); !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "not today") {
		t.Errorf("an exception: %v", err)
	}
	if _, err := h.Solver(ctx, "square", nil); !fault.Is(err, fault.Usage) {
		t.Errorf("a solver: %v", err)
	}
	began := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second { // it ends when it is asked to, and is not killed after the minute
		t.Errorf("closing took %v", took)
	}
}
