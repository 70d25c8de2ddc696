package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/wait"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/units/retry"
)

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var since string
	var limit int
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print the timeline: what happened, when, and who did it",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usageError{fmt.Errorf("--limit can't be negative")}
			}
			if since != "" {
				// Local forms mean this terminal's zone, so they are settled here.
				t, err := journal.ParseTimeOrAge(since, time.Now())
				if err != nil {
					return usageError{err}
				}
				since = t.Format(time.RFC3339Nano)
			}
			if follow {
				a.streams = true
				return a.followEvents(cmd.Context(), since, limit)
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				list, err := c.Timeline(ctx, since, limit)
				if err != nil {
					return err
				}
				a.warnStale(list.Store)
				if a.json() {
					return print.JSON(a.out, eventRows(list))
				}
				for _, ev := range list.Events {
					if err := a.printEvent(ev); err != nil {
						return err
					}
				}
				return nil
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what happens from now on")
	f.StringVar(&since, "since", "",
		"only what happened at or after a time: \"2026-01-31 15:04\", yesterday, 90m, \"2 hours ago\"")
	f.IntVar(&limit, "limit", 0, "the newest so many; 0 for 200")
	return cmd
}

// eventRow is an event for programs.
type eventRow struct {
	cluster.Event
	Store *api.Store `json:"store,omitempty"` // where what happened since is not known
}

func eventRows(list *api.EventList) []eventRow {
	rows := make([]eventRow, 0, len(list.Events))
	for _, ev := range list.Events {
		rows = append(rows, eventRow{ev, stale(list.Store)})
	}
	return rows
}

// followEvents prints events as they come. When the daemon goes away it waits
// for it, and goes on where it was.
func (a *app) followEvents(ctx context.Context, since string, limit int) error {
	c, err := a.env.client()
	if err != nil {
		return err
	}
	defer c.Close()
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	if list, err := c.Timeline(limited, "", 1); err == nil {
		a.warnStale(list.Store)
	}
	cancel()
	printed := map[string]bool{} // of the last moment, which is asked for again
	var last time.Time
	heard := time.Now()
	for {
		var broken error
		err := c.FollowEvents(ctx, since, limit, func(ev cluster.Event) error {
			heard = time.Now()
			if printed[ev.ID] {
				return nil
			}
			if ev.Time.After(last) {
				last = ev.Time
				clear(printed)
			}
			printed[ev.ID] = true
			broken = a.printEvent(ev)
			return broken
		})
		if broken != nil || ctx.Err() != nil {
			return err
		}
		if _, refused := err.(*api.Error); refused && last.IsZero() || time.Since(heard) > a.timeout {
			return err
		}
		if !last.IsZero() {
			since, limit = last.Format(time.RFC3339Nano), 10000
		}
		if !retry.Pause(ctx, wait.AskAgain) {
			return ctx.Err()
		}
	}
}

// printEvent prints an event as a line; as JSON, too, one a line.
func (a *app) printEvent(ev cluster.Event) error {
	if a.json() {
		return print.JSONLine(a.out, ev)
	}
	var b strings.Builder
	on := a.coloured(a.out)
	fmt.Fprintf(&b, "%s  %s  %s", print.Paint(on, print.Dim, ev.Time.Local().Format("2006-01-02 15:04:05.000")),
		print.Paint(on, eventColour(ev.Kind), fmt.Sprintf("%-8s", ev.Kind)), draw.Clean(ev.Text))
	if ev.By != "" {
		fmt.Fprintf(&b, "  (by %s)", draw.Clean(ev.By))
	}
	b.WriteByte('\n')
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func eventColour(k cluster.EventKind) print.Colour {
	switch k {
	case cluster.EventFailed, cluster.EventHold:
		return print.Red
	case cluster.EventMoved, cluster.EventMachine, cluster.EventLeader:
		return print.Yellow
	case cluster.EventActive, cluster.EventFailover, cluster.EventPlaced:
		return print.Green
	}
	return print.Plain
}
