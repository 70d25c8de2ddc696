package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/backup"
	"fleettop/units/atomicfile"
	"fleettop/units/diskfault"
	"fleettop/units/safefile"
	"fleettop/units/wording"
)

// largestBackup is how large a backup's file may be.
const largestBackup = 256 << 20

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write the cluster's units, machines' records and timeline into a file",
		Long: "backup writes what the cluster's store has at one moment into one file, which only its owner can read: units with\n" +
			"what is wanted of them, the machines' records and the timeline. The cluster's key isn't in it. With - it goes to\n" +
			"the standard output. `fleettop daemon --backup-dir` makes such files by itself.",
		Args: exactlyOneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return a.makeBackup(cmd.Context(), args[0]) },
	}
}

func (a *app) restoreCommand() *cobra.Command {
	var o api.RestoreOptions
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Bring units and machines' marks of a backup into a cluster",
		Long: "restore writes the units of a backup that the cluster hasn't, with what was wanted of them: they are placed and\n" +
			"started as after a start. Machines of the same ID are cordoned or drained again, and get the metadata that operators\n" +
			"had set. What the cluster has already stays as it is, so a restore that was interrupted is run again; where the\n" +
			"cluster has a unit of the same name with other content, nothing is restored. The timeline isn't, as the leader and\n" +
			"its notices would take it for what happens now; it stays in the file: zcat FILE.",
		Args: exactlyOneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return a.restore(cmd.Context(), args[0], o) },
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().BoolVar(&o.Inactive, "inactive", false, "restore every unit stopped")
	return cmd
}

func exactlyOneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("give the name of one file, or - for the standard input or output")
	}
	return nil
}

func (a *app) makeBackup(ctx context.Context, path string) error {
	if path == "-" && print.IsTerminal(a.out) {
		return usageError{errors.New("a backup is no text for a terminal: give the name of a file, or send it on: fleettop backup - >FILE")}
	}
	if path == "-" && a.json() {
		return usageError{errors.New("with - the standard output is the backup itself: leave out --output")}
	}
	if err := a.env.checkFile(path); err != nil {
		return err
	}
	return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		raw, err := c.Backup(ctx)
		if err != nil {
			return err
		}
		content, err := backup.Read(bytes.NewReader(raw))
		if err != nil {
			return fmt.Errorf("the daemon's answer was not kept: %w", err)
		}
		if path == "-" {
			_, err = a.out.Write(raw)
			return err
		}
		if err := atomicfile.Write(path, raw, 0o600); err != nil {
			return fmt.Errorf("%w: %s", err, diskfault.Advice(err, "file"))
		}
		if a.json() {
			return print.JSON(a.out, backupRow{path, len(raw), content.Cluster, content.Revision, content.Time, len(content.Units),
				len(content.Machines), len(content.Events)})
		}
		_, err = fmt.Fprintf(a.out, "Wrote %s: %s, %s and %s at revision %d, %d bytes\n", path,
			wording.Count(len(content.Units), "unit"), wording.Count(len(content.Machines), "machine"),
			wording.Count(len(content.Events), "event"), content.Revision, len(raw))
		return err
	})
}

// backupRow is a backup for programs.
type backupRow struct {
	File     string    `json:"file"`
	Bytes    int       `json:"bytes"`
	Cluster  string    `json:"cluster"`
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	Units    int       `json:"units"`
	Machines int       `json:"machines"`
	Events   int       `json:"events"`
}

func (a *app) restore(ctx context.Context, path string, o api.RestoreOptions) error {
	raw, err := a.readBackup(path)
	if err != nil {
		return err
	}
	return a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		reply, err := c.Restore(ctx, raw, o)
		if err != nil {
			return err
		}
		return a.printRestore(reply, o)
	})
}

// readBackup reads a backup's file and checks that it is whole.
func (a *app) readBackup(path string) (raw []byte, err error) {
	if err := a.env.checkFile(path); err != nil {
		return nil, err
	}
	name := path
	if path == "-" {
		name = "the standard input"
		raw, err = io.ReadAll(io.LimitReader(a.in, largestBackup))
	} else {
		raw, err = safefile.Read(path, largestBackup)
	}
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	if _, err := backup.Read(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return raw, nil
}

// printRestore says what was restored and what was left out, and fails where a part of it was refused.
func (a *app) printRestore(reply *api.RestoreReply, o api.RestoreOptions) error {
	conflicts, restored, there := 0, 0, 0
	for _, u := range reply.Units {
		switch u.Outcome {
		case api.Conflicts:
			conflicts++
		case api.Restored:
			restored++
		default:
			there++
		}
	}
	if a.json() {
		if err := print.JSON(a.out, reply); err != nil {
			return err
		}
	} else if err := a.sayRestore(reply, o, restored, there); err != nil {
		return err
	}
	if conflicts > 0 {
		fmt.Fprintf(a.err, "%s can't be restored, as the cluster has other ones of these names: destroy those that the backup's are to "+
			"replace, and restore again\n", wording.Count(conflicts, "unit"))
		return errReported
	}
	return nil
}

func (a *app) sayRestore(reply *api.RestoreReply, o api.RestoreOptions, restored, there int) error {
	var b strings.Builder
	done, was := "restored", "Restored"
	if o.DryRun {
		done, was = "would be restored", "Would restore"
	}
	fmt.Fprintf(&b, "The backup was made by %s at %s, at revision %d of cluster %s\n", reply.Backup.Machine,
		reply.Backup.Time.Local().Format(time.DateTime), reply.Backup.Revision, reply.Backup.Cluster)
	for _, u := range reply.Units {
		switch {
		case u.Outcome == api.Restored:
			fmt.Fprintf(&b, "Unit %s %s, %s", u.Name, done, u.Desired)
		case u.Outcome == api.There:
			fmt.Fprintf(&b, "Unit %s is there already, %s", u.Name, u.Desired)
		default:
			fmt.Fprintf(&b, "Unit %s conflicts", u.Name)
		}
		if u.Note != "" {
			b.WriteString(": " + u.Note)
		}
		b.WriteString("\n")
	}
	for _, m := range reply.Machines {
		switch m.Outcome {
		case api.Restored:
			fmt.Fprintf(&b, "Machine %s: %s %s\n", m.Name, m.What, done)
		case api.There:
			fmt.Fprintf(&b, "Machine %s: an operator has set it since, %s was not\n", m.Name, m.What)
		default:
			fmt.Fprintf(&b, "Machine %s: %s left out: %s\n", m.Name, m.What, m.Note)
		}
	}
	fmt.Fprintf(&b, "%s %s; %d there already; %s of the timeline stay in the file\n", was, wording.Count(restored, "unit"), there,
		wording.Count(reply.Events, "event"))
	if o.Inactive && restored > 0 && !o.DryRun {
		b.WriteString("They are stopped: `fleettop start UNIT…` starts them\n")
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}
