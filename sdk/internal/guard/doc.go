// Package guard keeps a plugin process well behaved, whatever the plugin's code does: it protects standard output, turns
// panics into errors, and ends the process when the host is gone.
package guard
