package daemon

import (
	"cmp"
	"fmt"
	"net"
	"strconv"

	"fleettop/cluster/membership"
	"fleettop/daemon/etcdnode"
)

// peerAddress finds a machine's API by gossip, which also knows it while the
// store is away: all daemons have their ports in the same order.
func peerAddress(members *membership.Membership, machineID string) (string, error) {
	for _, m := range members.Members() {
		if m.ID != machineID {
			continue
		}
		host, port, err := net.SplitHostPort(m.Address)
		if err != nil {
			return "", fmt.Errorf("machine %s: %w", machineID, err)
		}
		first, err := strconv.Atoi(port)
		if err != nil {
			return "", fmt.Errorf("machine %s: %w", machineID, err)
		}
		if m.State == membership.Failed || m.State == membership.Left {
			return "", fmt.Errorf("machine %s at %s is gone: see `fleettop list-machines --all`",
				cmp.Or(m.Tags[etcdnode.TagName], machineID), host)
		}
		return net.JoinHostPort(host, strconv.Itoa(first+apiPort)), nil
	}
	return "", fmt.Errorf("machine %s is not known here: see `fleettop list-machines --all`", machineID)
}
