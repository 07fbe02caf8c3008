// Package host finds, verifies, launches and supervises plugins, and hands out their components as the interfaces of
// package core. With sdk it is the only package that knows of gRPC and go-plugin. docs/plugins.md describes what it does
// and which hazard is handled where.
package host
