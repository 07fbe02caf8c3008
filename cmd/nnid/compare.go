package main

import (
	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core/fault"
)

func newCompare(s *streams) *cobra.Command {
	return &cobra.Command{Use: "compare TRUE.json FOUND.json", Short: "Print the distance between two networks modulo symmetries",
		Args: arguments("TRUE.json", "FOUND.json"),
		RunE: func(*cobra.Command, []string) error { return fault.New(fault.Unsupported, "not yet") }}
}
