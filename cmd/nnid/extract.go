package main

import (
	"github.com/spf13/cobra"

	"github.com/nnid/nnid/core/fault"
)

func newExtract(s *streams) *cobra.Command {
	return &cobra.Command{Use: "extract", Short: "Run a solver alone on a subspace", Args: noArguments,
		RunE: func(*cobra.Command, []string) error { return fault.New(fault.Unsupported, "not yet") }}
}
