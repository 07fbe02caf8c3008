// Command gen compiles the .proto files and runs the pinned Go generators on them. It lives in a module of its own, so
// that what it needs does not weigh on nnid's, and it replaces protoc, which "go install" cannot install.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FOLDER, the one that holds nnid/v1/*.proto")
		os.Exit(2)
	}
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate(root string) error {
	paths, err := filepath.Glob(filepath.Join(root, "nnid", "v1", "*.proto"))
	if err != nil {
		return err
	}
	sort.Strings(paths)
	request := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative")}
	for _, path := range paths {
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		request.FileToGenerate = append(request.FileToGenerate, filepath.ToSlash(name))
	}
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{root}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), request.FileToGenerate...)
	if err != nil {
		return err
	}
	// The request lists a file after those that it imports: here that is types.proto alone.
	const shared = "nnid/v1/types.proto"
	var first, rest []*descriptorpb.FileDescriptorProto
	for _, file := range files {
		if file.Path() == shared {
			first = append(first, protoutil.ProtoFromFileDescriptor(file))
		} else {
			rest = append(rest, protoutil.ProtoFromFileDescriptor(file))
		}
	}
	request.ProtoFile = append(first, rest...)
	input, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	for _, generator := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		command := exec.Command("go", "tool", generator)
		command.Stdin = bytes.NewReader(input)
		command.Stderr = os.Stderr
		output, err := command.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", generator, err)
		}
		var response pluginpb.CodeGeneratorResponse
		if err := proto.Unmarshal(output, &response); err != nil {
			return fmt.Errorf("%s: %w", generator, err)
		}
		if response.Error != nil {
			return fmt.Errorf("%s: %s", generator, response.GetError())
		}
		for _, file := range response.File {
			if err := os.WriteFile(filepath.Join(root, file.GetName()), []byte(file.GetContent()), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
