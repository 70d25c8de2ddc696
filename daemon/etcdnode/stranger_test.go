package etcdnode

import (
	"errors"
	"testing"
	"time"

	"fleettop/cluster/membership"
)

// TestStrangerAmongOurs: a machine that lost its data and founded a cluster is heard. Who was
// with the cluster of its own data stays there, also while nobody else of it is heard.
func TestStrangerAmongOurs(t *testing.T) {
	member := func(id, cluster string, state membership.State) membership.Member {
		return membership.Member{ID: id, Address: id + ":7370", State: state, Tags: map[string]string{tagCluster: cluster}}
	}
	stranger := member("a", "theirs", membership.Alive)
	for name, c := range map[string]struct {
		before, now []membership.Member
		refuses     bool
	}{
		"nobody else":                    {nil, []membership.Member{stranger}, true},
		"one of ours":                    {nil, []membership.Member{stranger, member("c", "ours", membership.Alive)}, false},
		"one of ours that failed":        {nil, []membership.Member{stranger, member("c", "ours", membership.Failed)}, false},
		"one of ours before":             {[]membership.Member{member("c", "ours", membership.Suspect)}, []membership.Member{stranger}, false},
		"another stranger before":        {[]membership.Member{member("c", "others", membership.Failed)}, []membership.Member{stranger}, true},
		"this machine is of ours itself": {nil, []membership.Member{stranger, member("b", "ours", membership.Alive)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gossip{network: &network{members: map[string]membership.Member{}}, id: "b"}
			n := &Node{cfg: Config{Machine: "b", Join: []string{"a"}}, gossip: g}
			var err error
			for _, list := range [][]membership.Member{c.before, c.now} {
				clear(g.members)
				for _, m := range list {
					g.members[m.ID] = m
				}
				_, _, err = n.voters("ours", suspicions{}, time.Now())
			}
			if other := new(OtherClusterError); errors.As(err, &other) != c.refuses {
				t.Errorf("refuses: %v, want %v", err, c.refuses)
			}
		})
	}
}
