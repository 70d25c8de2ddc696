package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units/wording"
)

// withClient calls f with a client and a context that ends with the request timeout.
func (a *app) withClient(ctx context.Context, f func(context.Context, *client.Client) error) error {
	c, err := a.env.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return f(ctx, c)
}

// warnHeld tells when units are left on machines that failed.
func (a *app) warnHeld(hold string) {
	if hold != "" {
		fmt.Fprintf(a.err, "warning: failovers are held: %s.\n", hold)
	}
}

// warnStale tells when what was answered is not current.
func (a *app) warnStale(st api.Store) {
	if !st.Connected {
		fmt.Fprintf(a.err, "warning: the cluster's store can't be reached; this is how it was %s ago. Units keep running.\n",
			wording.Age(time.Since(st.Since)))
	}
}

func (a *app) json() bool { return a.output == "json" }

// coloured reports whether what is written may have colours.
func (a *app) coloured(w io.Writer) bool {
	return !a.noColor && a.env.getenv(varTerm) != "dumb" && print.IsTerminal(w)
}
