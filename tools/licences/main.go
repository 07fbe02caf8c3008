// Command licences lists the modules linked into nnid with their licences, and fails on one that nnid's own, Apache-2.0,
// cannot be combined with or that it does not recognise.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// allowed pairs a licence with words of its text.
var allowed = []struct{ name, words string }{
	{"Apache-2.0", "Apache License"},
	{"MPL-2.0", "Mozilla Public License"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"BSD", "Redistribution and use in source and binary forms"},
	{"ISC", "Permission to use, copy, modify, and"},
	{"Unlicense", "This is free and unencumbered software"},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(patterns []string) error {
	output, err := exec.Command("go", append([]string{"list", "-deps", "-json=Module"}, patterns...)...).Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	folders := map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := decoder.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if p.Module != nil && !p.Module.Main {
			folders[p.Module.Path+" "+p.Module.Version] = p.Module.Dir
		}
	}
	modules := make([]string, 0, len(folders))
	for module := range folders {
		modules = append(modules, module)
	}
	slices.Sort(modules)
	var unknown []error
	for _, module := range modules {
		licence, err := licenceOf(folders[module])
		if err != nil {
			unknown = append(unknown, fmt.Errorf("%s: %w", module, err))
			continue
		}
		fmt.Printf("%-11s %s\n", licence, module)
	}
	return errors.Join(unknown...)
}

func licenceOf(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		if entry.IsDir() || !(strings.HasPrefix(name, "LICEN") || strings.HasPrefix(name, "COPYING") || strings.HasPrefix(name, "UNLICENSE")) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return "", err
		}
		words := strings.Join(strings.Fields(string(text)), " ")
		for _, licence := range allowed {
			if strings.Contains(strings.ToLower(words), strings.ToLower(licence.words)) {
				return licence.name, nil
			}
		}
	}
	return "", errors.New("no licence that is known to go with Apache-2.0; see CONTRIBUTING.md")
}
