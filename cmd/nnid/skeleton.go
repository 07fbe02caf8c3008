package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core"
	"github.com/nnid/nnid/core/fault"
)

//go:embed skeleton
var skeletons embed.FS

// skeletonFile is a file of a new plugin and the template it comes from.
type skeletonFile struct {
	template, name string
	mode           fs.FileMode
}

// skeletonFiles are the files of a new plugin by language; %s in a name is the plugin's.
var skeletonFiles = map[string][]skeletonFile{
	"go":     {{"go/main.go.tmpl", "main.go", 0o644}, {"go/main_test.go.tmpl", "main_test.go", 0o644}},
	"python": {{"python/plugin.tmpl", "nnid-plugin-%s", 0o755}, {"python/test.tmpl", "test_activation.py", 0o644}},
}

func newPluginsNew(s *streams) *cobra.Command {
	var language, folder, checkout string
	command := &cobra.Command{
		Use:   "new activation NAME",
		Short: "Write the skeleton of a plugin, with its test",
		Long: `new writes an activation that works as it is (it computes tanh), and its test, into the folder nnid-plugin-NAME. Put
your function in its place; the tests and "nnid plugins check" say what is still wrong with it.

A plugin in Go needs the nnid module: inside a checkout of nnid it is there; elsewhere, --checkout names one, and
go.mod refers to it. A plugin in Python needs the package nnid_sdk, which pip installs from a checkout's sdk/python.`,
		Example: `  nnid plugins new activation swish-2
  nnid plugins new activation swish-2 --lang python`,
		Args: arguments("KIND", "NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			kind, name := args[0], args[1]
			if kind != string(core.KindActivation) {
				return fault.New(fault.Usage, "there is no skeleton of a %s; there is one of: activation", kind)
			}
			if err := core.CheckName(name); err != nil {
				return fault.New(fault.Usage, "%w", err)
			}
			if _, ok := skeletonFiles[language]; !ok {
				return fault.New(fault.Usage, "--lang %s is neither go nor python", language)
			}
			target := filepath.Join(folder, "nnid-plugin-"+name)
			if err := writeSkeleton(target, name, language); err != nil {
				return err
			}
			sdk := "sdk/python" // of a checkout: the SDK is installed from there
			if checkout != "" {
				sdk = filepath.Join(checkout, sdk)
			}
			steps := []string{"python3 -m pip install " + sdk + "    # of a checkout of nnid, once", "python3 -m unittest", "nnid plugins check nnid-plugin-" + name}
			if language == "go" {
				hint, err := goModule(target, name, checkout)
				if err != nil {
					return err
				}
				steps = append(hint, "go test .", "go build .", "nnid plugins check ./nnid-plugin-"+name)
			}
			fmt.Fprintf(s.out, "wrote %s; next:\n  cd %s\n  %s\n", target, target, strings.Join(steps, "\n  "))
			return nil
		},
	}
	command.Flags().StringVar(&language, "lang", "go", "language of the plugin: go or python")
	command.Flags().StringVar(&folder, "dir", ".", "folder in which the plugin's folder is made")
	command.Flags().StringVar(&checkout, "checkout", "", "checkout of nnid that the go.mod of a plugin outside of it refers to")
	return command
}

// writeSkeleton writes the files into a folder that must not be there yet.
func writeSkeleton(target, name, language string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fault.New(fault.Usage, "the folder of the plugin cannot be made: %w", err)
	}
	if err := os.Mkdir(target, 0o755); errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Usage, "%s is there already; nothing was written", target)
	} else if err != nil {
		return fault.New(fault.Usage, "the folder of the plugin cannot be made: %w", err)
	}
	for _, file := range skeletonFiles[language] {
		text, err := template.ParseFS(skeletons, "skeleton/"+file.template)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := text.Execute(&b, struct{ Name string }{name}); err != nil {
			return err
		}
		path := filepath.Join(target, strings.ReplaceAll(file.name, "%s", name))
		if err := os.WriteFile(path, b.Bytes(), file.mode); err != nil {
			return fault.New(fault.Usage, "the plugin cannot be written: %w", err)
		}
	}
	return nil
}

var (
	moduleLine   = regexp.MustCompile(`(?m)^module github\.com/nnid/nnid$`)
	requirements = regexp.MustCompile(`(?ms)^require \(.*?^\)$`)
	goLine       = regexp.MustCompile(`(?m)^go .*$`)
)

// goModule writes go.mod and go.sum for a plugin outside of a checkout of nnid, and returns what is left to do by hand.
func goModule(target, name, checkout string) (steps []string, err error) {
	absolute, err := filepath.Abs(target)
	if err != nil {
		return nil, err
	}
	for at := filepath.Dir(absolute); at != filepath.Dir(at); at = filepath.Dir(at) {
		if content, err := os.ReadFile(filepath.Join(at, "go.mod")); err == nil {
			if moduleLine.Match(content) {
				return nil, nil // part of nnid's own module
			}
			break
		}
	}
	if checkout == "" {
		return []string{"go mod init nnid-plugin-" + name, "go get github.com/nnid/nnid", "go mod tidy"}, nil
	}
	if checkout, err = filepath.Abs(checkout); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	if err != nil || !moduleLine.Match(content) {
		return nil, fault.New(fault.Usage, "--checkout %s is no checkout of nnid: it has no go.mod of the module github.com/nnid/nnid", checkout)
	}
	sums, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
	if err != nil {
		return nil, fault.New(fault.Usage, "--checkout %s has no go.sum", checkout)
	}
	// What nnid requires, the plugin does: so it builds without asking the network. "go mod tidy" drops what it does not need.
	module := fmt.Sprintf("module nnid-plugin-%s\n\n%s\n\nrequire github.com/nnid/nnid v0.0.0\n\nreplace github.com/nnid/nnid => %s\n\n%s\n",
		name, goLine.Find(content), checkout, bytes.Join(requirements.FindAll(content, -1), []byte("\n\n")))
	for file, text := range map[string][]byte{"go.mod": []byte(module), "go.sum": sums} {
		if err := os.WriteFile(filepath.Join(target, file), text, 0o644); err != nil {
			return nil, fault.New(fault.Usage, "the plugin cannot be written: %w", err)
		}
	}
	return nil, nil
}
