// Package rpc has both ends of every service of the protocol: servers turn a component's Go value into a gRPC service,
// clients turn the service back into the Go interface. Clients check every answer, because the other end may be written
// in any language and by anyone.
package rpc
