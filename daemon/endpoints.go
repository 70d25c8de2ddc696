package daemon

import (
	"context"
	"slices"
	"time"

	"fleettop/cluster/membership"
	"fleettop/units/retry"
)

// OtherClusterError says that this machine was told to join a cluster and has
// the data of another one.
type OtherClusterError struct {
	Address      string // of the machine it was to join
	Theirs, Ours string // cluster IDs
	StateDir     string // where ours is from
}

// Error implements error.
func (e *OtherClusterError) Error() string {
	return "the machine at " + e.Address + " is in cluster " + e.Theirs + ", and this one is in cluster " + e.Ours + " by the data in " +
		e.StateDir + ": to join the other cluster, move that directory away and start with --join"
}

// inCluster tells whether this machine, or one that gossip hears, is in a cluster.
func (l *etcdLink) inCluster() bool {
	l.mu.Lock()
	known := l.clusterID != "" || !l.cfg.embedsEtcd()
	l.mu.Unlock()
	return known || slices.ContainsFunc(l.members.Members(), func(m membership.Member) bool { return m.Tags[tagCluster] != "" })
}

// stayPointed keeps the client's endpoints and this member's tags current:
// a voter talks to its own member, everybody else to the voters that live.
func (l *etcdLink) stayPointed(ctx context.Context) error {
	var pointed, tagged []string
	var again time.Time
	doubts := doubts{}
	for ctx.Err() == nil {
		membersChanged, linkChanged := l.members.Changed(), l.changed()
		l.mu.Lock()
		voter, clusterID := l.voter, l.clusterID
		l.mu.Unlock()
		endpoints := l.cfg.EtcdEndpoints
		living := endpoints
		if l.cfg.embedsEtcd() {
			var err error
			if living, again, err = l.voters(clusterID, doubts, time.Now()); err != nil {
				return err
			}
			if endpoints = living; voter {
				endpoints = []string{l.clientURL()}
			}
		}
		if len(endpoints) > 0 {
			if !slices.Equal(endpoints, pointed) {
				l.client.SetEndpoints(endpoints...)
				pointed = endpoints
			}
			// What is under way with a voter that lives may end there: a
			// machine that begins to vote has requests out.
			l.lines.Keep(slices.Concat(endpoints, living))
		}
		tags := map[string]string{tagName: l.cfg.Name, tagCluster: clusterID}
		if voter {
			tags[tagEtcd] = l.clientURL()
		}
		if now := []string{tags[tagCluster], tags[tagEtcd]}; !slices.Equal(now, tagged) {
			if err := l.members.SetTags(tags); err != nil {
				l.log.Debug("tags not gossiped yet", "error", err)
			}
			tagged = now
		}
		var due <-chan time.Time
		if !again.IsZero() {
			due = time.After(time.Until(again))
		}
		select {
		case <-ctx.Done():
		case <-membersChanged:
			retry.Pause(ctx, pointedQuiet)
		case <-linkChanged:
		case <-due:
		}
	}
	return nil
}

// Members is gossip's list, in which a machine that came back in another
// cluster, as after it lost its disk, counts as failed.
func (l *etcdLink) Members() []membership.Member {
	ours := l.cluster()
	list := l.members.Members()
	for i, m := range list {
		if theirs := m.Tags[tagCluster]; ours != "" && theirs != "" && theirs != ours {
			list[i].State = membership.Failed
		}
	}
	return list
}

// Changed is gossip's.
func (l *etcdLink) Changed() <-chan struct{} { return l.members.Changed() }

// voters returns the client URLs of the voters that live, as gossip has it, and
// of those in doubt only where there are no others: by the time the leader is
// sure of a death, this machine's watches are somewhere else already. It also
// returns when to look again, if only time changes the answer. It refuses to
// go on where this machine was told to join a cluster and has another's data.
func (l *etcdLink) voters(clusterID string, doubts doubts, now time.Time) (list []string, again time.Time, err error) {
	var urls, doubtful []string
	var stranger membership.Member
	company := false
	for _, m := range l.members.Members() {
		theirs := m.Tags[tagCluster]
		if m.State != membership.Alive && m.State != membership.Suspect || m.ID == l.cfg.MachineID || theirs == "" {
			continue
		}
		if clusterID == "" {
			clusterID = theirs
			l.mu.Lock()
			l.clusterID = theirs
			l.mu.Unlock()
		}
		if theirs != clusterID {
			stranger = m
			continue
		}
		company = true
		gone, at := doubts.look(m, now)
		if !at.IsZero() && (again.IsZero() || at.Before(again)) {
			again = at
		}
		if url := m.Tags[tagEtcd]; url != "" && !gone {
			urls = append(urls, url)
		} else if url != "" {
			doubtful = append(doubtful, url)
		}
	}
	if stranger.ID != "" && !company && len(l.cfg.Join) > 0 {
		return nil, again, &OtherClusterError{Address: stranger.Address, Theirs: stranger.Tags[tagCluster], Ours: clusterID, StateDir: l.cfg.StateDir}
	}
	if len(urls) == 0 {
		urls = doubtful
	}
	slices.Sort(urls)
	return urls, again, nil
}
