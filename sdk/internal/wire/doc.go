// Package wire turns the words of package core into messages of the protocol and back. It trusts nothing that it
// decodes: shapes, lengths and numbers are checked, and what is wrong is an error, never a panic.
package wire
