package proto

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"

	nnidv1 "github.com/nnid/nnid/sdk/proto/nnid/v1"
)

// The generated code is that of the .proto files as they are.
func TestDrift(t *testing.T) {
	generated := map[string]protoreflect.FileDescriptor{}
	for _, file := range []protoreflect.FileDescriptor{
		nnidv1.File_nnid_v1_types_proto, nnidv1.File_nnid_v1_meta_proto, nnidv1.File_nnid_v1_activation_proto,
		nnidv1.File_nnid_v1_solver_proto, nnidv1.File_nnid_v1_oracle_proto,
	} {
		generated[file.Path()] = file
	}
	paths, err := filepath.Glob("nnid/v1/*.proto")
	if err != nil || len(paths) != len(generated) {
		t.Fatalf("%d files .proto, %d generated: add the new one to this test (%v)", len(paths), len(generated), err)
	}
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{"."}}}
	files, err := compiler.Compile(context.Background(), paths...)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		want := protoutil.ProtoFromFileDescriptor(file)
		if got := protodesc.ToFileDescriptorProto(generated[file.Path()]); !proto.Equal(got, want) {
			t.Errorf("%s was changed without its Go code; run: go generate ./sdk/proto", file.Path())
		}
	}
}
