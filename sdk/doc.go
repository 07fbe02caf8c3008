// Package sdk is what the author of a plugin imports. A plugin binary is named nnid-plugin-NAME and is one call:
//
//	func main() {
//		sdk.Serve(sdk.Plugin{Name: "mine", Version: "1.0.0", Activations: []core.ActivationFactory{...}})
//	}
//
// What a component has to do is said by the interfaces in package core. The SDK holds no mathematics; it carries the
// interfaces across the process boundary and keeps the process well behaved: it turns panics into errors, guards
// standard output, limits messages, and ends the process when its host is gone. docs/plugins.md tells the whole story.
//
// Errors returned by components keep their kind (package core/fault) and text on the way to the host; an error without
// a kind counts as a defect of the plugin.
package sdk
