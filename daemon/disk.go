package daemon

import (
	"context"
	"fmt"
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

// watchDisk warns, in the log and the timeline, while the disk with this
// daemon's state is nearly full: etcd ends when it can't write.
func (n *node) watchDisk(ctx context.Context) error {
	low := false
	for ctx.Err() == nil {
		room, err := diskfault.SpaceOf(n.cfg.StateDir)
		if text, changed := diskWord(room, low); err == nil && changed {
			low = !low
			if low {
				n.log.Warn("the state disk is nearly full: free some space, as etcd ends when it can't write",
					"dir", n.cfg.StateDir, "free", megabytes(room.Free))
			} else {
				n.log.Info("the state disk has room again", "dir", n.cfg.StateDir, "free", megabytes(room.Free))
			}
			n.recordDisk(ctx, n.cfg.Name+"'s state disk, "+n.cfg.StateDir+", "+text)
		}
		retry.Pause(ctx, diskLook)
	}
	return nil
}

// recordDisk writes to the timeline, as soon as the store can be reached.
func (n *node) recordDisk(ctx context.Context, text string) {
	ctx, cancel := context.WithTimeout(ctx, diskLook)
	defer cancel()
	_ = n.record(ctx, cluster.Event{Kind: cluster.EventMachine, Machine: n.cfg.MachineID, Time: time.Now(), Text: text})
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
