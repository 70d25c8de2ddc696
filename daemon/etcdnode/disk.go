package etcdnode

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"fleettop/cluster"
	"fleettop/units/diskfault"
	"fleettop/units/retry"
)

const (
	diskLook = 30 * time.Second
	// A state disk is nearly full with less than scarce free, or less than a
	// twentieth of it where that is less than ample: etcd's database has a
	// gigabyte at most.
	scarce = 256 << 20
	ample  = 1 << 30
)

// Disk watches the disk with a daemon's state.
type Disk struct {
	Dir           string // on the disk
	Machine, Name string
	Timeline      Timeline
	Log           *slog.Logger
}

// Run warns, in the log and the timeline, while the disk is nearly full, until
// ctx ends: etcd ends when it can't write. It returns nil.
func (d *Disk) Run(ctx context.Context) error {
	low := false
	for ctx.Err() == nil {
		room, err := diskfault.SpaceOf(d.Dir)
		if text, changed := diskWord(room, low); err == nil && changed {
			low = !low
			if low {
				d.Log.Warn("the state disk is nearly full: free some space, as etcd ends when it can't write",
					"dir", d.Dir, "free", megabytes(room.Free))
			} else {
				d.Log.Info("the state disk has room again", "dir", d.Dir, "free", megabytes(room.Free))
			}
			d.record(ctx, d.Name+"'s state disk, "+d.Dir+", "+text)
		}
		retry.Pause(ctx, diskLook)
	}
	return nil
}

// record writes to the timeline, if the store can be reached by the next look.
func (d *Disk) record(ctx context.Context, text string) {
	ctx, cancel := context.WithTimeout(ctx, diskLook)
	defer cancel()
	_ = d.Timeline.Record(ctx, cluster.Event{Kind: cluster.EventMachine, Machine: d.Machine, Time: time.Now(), Text: text})
}

// diskWord says what there is to say of a disk, and whether that is new. One
// that was low has room again when it has half as much more than it needs.
func diskWord(room diskfault.Space, low bool) (text string, changed bool) {
	least := max(scarce, min(room.Size/20, ample))
	switch {
	case !low && room.Free < least:
		return fmt.Sprintf("is nearly full: %s of %s are free", megabytes(room.Free), megabytes(room.Size)), true
	case low && room.Free >= least+least/2:
		return fmt.Sprintf("has room again: %s of %s are free", megabytes(room.Free), megabytes(room.Size)), true
	}
	return "", false
}

func megabytes(bytes uint64) string { return fmt.Sprintf("%d MB", bytes>>20) }
