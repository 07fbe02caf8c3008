//go:build !linux

package oip

import (
	"context"
	"net"
)

// dialer returns dial: acknowledging at once is an option of Linux.
func dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return dial
}
