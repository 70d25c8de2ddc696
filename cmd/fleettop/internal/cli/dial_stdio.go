package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/sshdial"
)

// dialStdioCommand is the far side of an ssh:// host.
func (a *app) dialStdioCommand() *cobra.Command {
	return &cobra.Command{
		Use:    sshdial.Stdio,
		Short:  "Connect the standard input and output to the daemon's API",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.env.socket(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			stop := context.AfterFunc(cmd.Context(), func() { conn.Close() })
			defer stop()
			return bridge(conn, a.in, print.Raw(a.out))
		},
	}
}

// bridge copies both ways until the daemon or the other side has ended.
func bridge(conn net.Conn, in io.Reader, out io.Writer) error {
	go func() {
		_, _ = io.Copy(conn, in)
		// The other side is gone or has nothing more to ask; what is still
		// to be answered is, unless the connection can't be half closed.
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		} else {
			conn.Close()
		}
	}()
	_, err := io.Copy(out, conn)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
