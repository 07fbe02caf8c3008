// Package tables holds the data sets that networks are trained on for benchmarks; README.md says where they are from.
package tables

import "embed"

// Files are the tables, NAME.csv: a header, then rows of numbers, the target last.
//
//go:embed *.csv
var Files embed.FS
