package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/draw"
	"fleettop/units"
	"fleettop/units/wording"
)

// eachUnit asks the daemon for each unit the arguments mean and hands it to
// show, or for programs prints what element makes of each. A unit that isn't
// there is told, and the others still handled.
func (a *app) eachUnit(ctx context.Context, args []string, show func(i int, u *api.UnitDetail) error,
	element func(*api.UnitDetail) any) error {
	return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		names, err := known(ctx, c, "", args)
		if err != nil {
			return err
		}
		missing := false
		list := make([]any, 0, len(names))
		for i, name := range names {
			u, err := c.Unit(ctx, name)
			if refusal, ok := err.(*api.Error); ok && refusal.Code != api.CodeUnavailable {
				missing = true
				fmt.Fprintln(a.err, refusal)
				list = append(list, failedUnit{name, refusal})
				continue
			}
			if err != nil {
				return err
			}
			if i == 0 {
				a.warnStale(u.Store)
			}
			if a.json() {
				list = append(list, element(u))
			} else if err := show(i, u); err != nil {
				return err
			}
		}
		if a.json() {
			if err := print.JSON(a.out, list); err != nil {
				return err
			}
		}
		if missing {
			return errReported
		}
		return nil
	})
}

// unitContent is what `cat` prints for programs.
type unitContent struct {
	Unit    string `json:"unit"`
	Content string `json:"content"`
}

func (a *app) catCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cat UNIT|GLOB...",
		Short: "Print unit files as they were submitted",
		Args:  atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachUnit(cmd.Context(), args, func(_ int, u *api.UnitDetail) error {
				text := u.Content
				if shown, ok := a.out.(*print.Output); ok && shown.Terminal() {
					text = print.Printable(text) // colours too: they could hide a line
				}
				if u.TemplateHash != "" {
					fmt.Fprintln(a.err, u.Name, follows(u)) // beside the file, which is printed as it is
				}
				_, err := io.WriteString(a.out, text)
				return err
			}, func(u *api.UnitDetail) any { return unitContent{u.Name, u.Content} })
		},
		ValidArgsFunction: a.completeUnits,
	}
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status UNIT|GLOB...",
		Short: "Tell how units are, where, since when and why there",
		Args:  atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachUnit(cmd.Context(), args, func(i int, u *api.UnitDetail) error {
				if i > 0 {
					fmt.Fprintln(a.out)
				}
				_, err := io.WriteString(a.out, statusText(u, time.Now(), a.coloured(a.out)))
				return err
			}, func(u *api.UnitDetail) any { return newUnitStatus(u) })
		},
		ValidArgsFunction: a.completeUnits,
	}
}

// follows says which template a unit follows, and whether it is behind it;
// empty for a unit with a file of its own.
func follows(u *api.UnitDetail) string {
	name, err := units.ParseName(u.Name)
	if !u.FromTemplate || err != nil {
		return ""
	}
	text := "follows " + name.Template()
	switch {
	case u.TemplateHash == "":
		return text
	case u.TemplateBehind == 0:
		text += ", an earlier version"
	case u.TemplateBehind == 1:
		text += ", one version behind"
	default:
		text += fmt.Sprintf(", %d versions behind", u.TemplateBehind)
	}
	return fmt.Sprintf("%s (%s): `fleettop start --replace %s` takes the new one",
		text, print.ShortHash(u.TemplateHash, false), u.Name)
}

// statusText is a unit in the manner of systemctl status. What people and
// programs had to say of it doesn't steer the terminal.
func statusText(u *api.UnitDetail, now time.Time, colour bool) string {
	var b strings.Builder
	title := u.Name
	if u.Description != "" {
		title += " - " + draw.Clean(u.Description)
	}
	fmt.Fprintf(&b, "%s %s\n", print.Paint(colour, print.StateColour(activeOf(u)), "●"), title)
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%9s: %s\n", label, fmt.Sprintf(format, args...))
	}
	wanted := string(u.Desired)
	if u.By != "" {
		wanted += " by " + draw.Clean(u.By)
	}
	line("Desired", "%s%s", wanted, since(u.At, now))
	line("File", "%s (generation %d)", print.ShortHash(u.Hash, false), u.Generation)
	if text := follows(u); u.TemplateHash != "" {
		line("Template", "%s", print.Paint(colour, print.Yellow, "it "+text))
	} else if text != "" {
		line("Template", "it %s", text)
	}
	switch {
	case u.Unplaced != "":
		line("Unplaced", "%s", print.Paint(colour, print.Yellow, draw.Clean(u.Unplaced)))
	case len(u.Placements) == 0:
		line("Active", "inactive: on no machine")
	}
	refs := refsByID(u.Machines)
	for i, p := range u.Placements {
		if i > 0 {
			b.WriteByte('\n')
		}
		m := refs[p.Machine]
		line("Machine", "%s (%s)", print.Machine(p.Machine, m.Address, false), print.OrDash(draw.Clean(m.Name)))
		switch a := p.Assignment; {
		case a == nil:
			line("Reason", "it was taken away from there and is being stopped")
		case a.Waits():
			line("Retry", "%s", print.Paint(colour, print.Yellow, draw.Clean(a.Reason)+nextTry(a.RetryAt, now)))
		case a.Reason != "":
			line("Reason", "%s%s", draw.Clean(a.Reason), since(a.Since, now))
		}
		if p.Held != "" {
			line("Held", "%s", print.Paint(colour, print.Yellow, "it "+draw.Clean(p.Held)))
		}
		placementText(line, u, p, now, colour)
	}
	return b.String()
}

func placementText(line func(string, string, ...any), u *api.UnitDetail, p api.UnitPlacement, now time.Time,
	colour bool) {
	st := p.Status
	if st == nil {
		line("Active", "not known: the machine reports nothing of it")
		return
	}
	load := print.Paint(colour, print.LoadColour(st.Load), print.OrDash(st.Load))
	if st.Hash != "" && st.Hash != u.Hash {
		load += fmt.Sprintf(" (an older file: %s)", print.ShortHash(st.Hash, false))
	}
	line("Loaded", "%s", load)
	active := fmt.Sprintf("%s (%s)", print.OrDash(st.Active), print.OrDash(st.Sub))
	if p.Lost != nil {
		line("Active", "%s", print.Paint(colour, print.Yellow,
			fmt.Sprintf("unknown, as the machine is %s%s", p.Lost.State, since(p.Lost.Since, now))))
		line("Evidence", "%s", print.OrDash(draw.Clean(p.Lost.Evidence)))
		line("Last", "%s%s", active, since(st.Since, now))
	} else {
		line("Active", "%s%s", print.Paint(colour, print.StateColour(st.Active), active), since(st.Since, now))
	}
	if st.Result != "" && st.Result != "success" {
		line("Result", "%s", print.Paint(colour, print.Red, st.Result))
	}
	if st.PID > 0 {
		line("Main PID", "%d", st.PID)
	}
	if st.Restarts > 0 {
		line("Restarts", "%d", st.Restarts)
	}
	if hand := cluster.ByHand(u.Name, u.Desired, st.Status); hand != "" {
		line("By hand", "%s", print.Paint(colour, print.Yellow, draw.Clean(hand)))
	}
	if st.Error != "" {
		line("Error", "%s", print.Paint(colour, print.Red, draw.Clean(st.Error)))
	}
}

func activeOf(u *api.UnitDetail) string {
	state := "inactive"
	for _, p := range u.Placements {
		switch {
		case p.Status == nil:
		case p.Lost != nil:
			state = api.ActiveUnknown
		case p.Status.Active != "inactive":
			state = p.Status.Active
		}
	}
	return state
}

func since(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(" since %s; %s ago", at.Local().Format("Mon 2006-01-02 15:04:05 MST"),
		wording.Age(max(0, now.Sub(at))))
}
