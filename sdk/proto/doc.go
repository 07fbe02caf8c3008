// Package proto holds the plugin protocol: nnid/v1/*.proto, which plugins in other languages may copy, and the Go code
// generated from them, which is for package sdk only.
//
// To regenerate after an addition, nothing but Go is needed; the versions of the generators are pinned in gen/go.mod.
package proto

//go:generate go -C gen run . ..
