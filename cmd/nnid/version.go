package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/nnid/nnid/sdk"
)

func newVersion(s *streams) *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of nnid, its plugin protocol and SDK",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			if !asJSON {
				fmt.Fprintf(s.out, "nnid %s (plugin protocol %d, SDK %s, %s, %s/%s)\n", versionText(), sdk.Protocol, sdk.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return nil
			}
			return json.NewEncoder(s.out).Encode(map[string]any{
				"nnid": versionText(), "protocol": sdk.Protocol, "sdk": sdk.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
			})
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}
