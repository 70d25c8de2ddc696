package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cluster/etcdserver"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon"
	"fleettop/daemon/api"
	"fleettop/units/wording"
)

// recoverOptions are the options of recover.
type recoverOptions struct {
	dir                 string
	yes, dryRun, rejoin bool
}

func (a *app) recoverCommand() *cobra.Command {
	o := recoverOptions{dir: usualPlaces().StateDir}
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Make a cluster of this machine's data when most voters are gone for good",
		Long: "recover is for when most of the machines that hold the cluster's state have lost their disks. Run it on one that is\n" +
			"left, as root, with its daemon stopped, which touches no unit. It says what it has and what may be lost, asks, and\n" +
			"makes a new cluster of it with this machine as the only voter. Machines that run find it and go on with their units.\n" +
			"A voter of the old cluster that comes back with its old disk is refused; there `fleettop recover --rejoin` moves the\n" +
			"old data away, and its daemon joins the new cluster.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.rejoin {
				return a.leaveBehind(cmd.Context(), o)
			}
			return a.recoverCluster(cmd.Context(), o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "state-dir", o.dir, "the --state-dir of the daemon")
	f.BoolVarP(&o.yes, "yes", "y", false, "go on without asking")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what there is, and do nothing")
	f.BoolVar(&o.rejoin, "rejoin", false, "move this machine's data of the old cluster away, to join the new one")
	_ = cmd.MarkFlagDirname("state-dir")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "rejoin")
	return cmd
}

// recoverRow is what a recovery has and did, for programs.
type recoverRow struct {
	Cluster   string    `json:"cluster"`
	Revision  int64     `json:"revision"`
	Written   time.Time `json:"written"`
	Units     int       `json:"units"`
	Machines  int       `json:"machines"`
	Gone      []string  `json:"gone"`
	Recovered string    `json:"recovered,omitempty"` // the new cluster's ID
	Kept      string    `json:"kept,omitempty"`      // where the old data is
}

func (a *app) recoverCluster(ctx context.Context, o recoverOptions) error {
	r, err := daemon.OpenRecovery(ctx, o.dir)
	if err != nil {
		return err
	}
	defer r.Close()
	s := r.Survivor
	own := r.Name(s.Own)
	row := recoverRow{Cluster: s.ClusterID, Revision: s.Revision, Written: s.Written, Units: r.Units, Machines: len(r.Machines),
		Gone: append([]string{}, r.Gone()...)}
	if r.HasQuorum() {
		names := []string{own}
		for _, m := range r.Answering {
			names = append(names, r.Name(m))
		}
		return fmt.Errorf("the cluster isn't lost: %s are enough of its %s: start the daemon here (%s)", strings.Join(names, " and "),
			wording.Count(s.Voters(), "voter"), ownService().command("start", "fleettop"))
	}
	a.sayRecovery(r, own)
	if o.dryRun {
		if a.json() {
			return print.JSON(a.out, row)
		}
		return nil
	}
	if err := a.agree(ctx, o.yes, "Make a new cluster of what "+own+" has?"); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if row.Recovered, row.Kept, err = r.Run(ctx, etcdserver.Config{Logger: log}); err != nil {
		return err
	}
	if a.json() {
		return print.JSON(a.out, row)
	}
	fmt.Fprintf(a.out, "Made cluster %s of it. The old data is kept in %s.\n"+
		"1. Start the daemon here: %s\n"+
		"2. Wait until `fleettop list-machines --all` shows the machines that are left.\n", row.Recovered, row.Kept,
		ownService().command("start", "fleettop"))
	if len(row.Gone) > 0 {
		fmt.Fprintf(a.out, "3. Say which are gone for good, so that their units run elsewhere: fleettop forget %s\n",
			strings.Join(row.Gone, " "))
	}
	return nil
}

// sayRecovery says what there is, and what may be lost.
func (a *app) sayRecovery(r *daemon.Recovery, own string) {
	s := r.Survivor
	fmt.Fprintf(a.err, "%s has cluster %s up to revision %d: %s on %s. It last wrote %s ago (%s).\n", own, s.ClusterID, s.Revision,
		wording.Count(r.Units, "unit"), wording.Count(len(r.Machines), "machine"), wording.Age(time.Since(s.Written)),
		s.Written.Local().Format(time.DateTime))
	if gone := r.Gone(); len(gone) > 0 {
		fmt.Fprintf(a.err, "Voters that don't answer: %s.\n", strings.Join(gone, ", "))
	}
	for _, m := range r.Answering {
		fmt.Fprintf(a.err, "%s is a voter too, and answers: compare its revision (its daemon stopped, `fleettop recover --dry-run` there), "+
			"and recover on the one with the higher. Run `fleettop recover --rejoin` on the other one.\n", r.Name(m))
	}
	fmt.Fprintf(a.err, "What the other voters had agreed to and this machine never heard of is lost: as a rule the last moments before\n"+
		"it lost contact with them. Units that were started or moved then may stop, or run on two machines.\n"+
		"Do this only when those voters' disks are gone: while they live, start their daemons instead. One that comes\n"+
		"back later with its old disk is refused, and its units run on untouched.\n")
}

// agree asks, unless that isn't wanted.
func (a *app) agree(ctx context.Context, yes bool, question string) error {
	switch {
	case yes:
		return nil
	case a.json() || !print.IsTerminal(a.in) || !print.IsTerminal(a.err):
		return api.Refuse(api.CodeConflict, "add --yes to go on", "nothing was done: there is no terminal to ask on")
	}
	agreed, err := a.confirm(ctx, bufio.NewReader(a.in), question)
	if err == nil && !agreed {
		err = errors.New("nothing was done")
	}
	return err
}

func (a *app) leaveBehind(ctx context.Context, o recoverOptions) error {
	if err := a.agree(ctx, o.yes, "Move this machine's data of the old cluster away, so that it joins the recovered one?"); err != nil {
		return err
	}
	kept, err := daemon.LeaveBehind(o.dir)
	if err != nil {
		return err
	}
	if a.json() {
		return print.JSON(a.out, map[string]string{"kept": kept})
	}
	fmt.Fprintf(a.out, "The old data was moved to %s. Start the daemon: %s\n", kept, ownService().command("start", "fleettop"))
	return nil
}
