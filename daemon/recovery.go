package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
)

// answerLimit is how long a recovery waits for other voters to answer.
const answerLimit = 2 * time.Second

// Recovery makes a cluster of what this machine has of one that lost most of its
// voters. While it is open no daemon works in the state directory.
type Recovery struct {
	Survivor  *etcdserver.Survivor
	Machines  map[string]cluster.Machine // of the cluster, by ID
	Units     int
	Answering []etcdserver.Member // other voters that answer now

	unlock func()
}

// OpenRecovery reads what there is. Close releases it.
func OpenRecovery(ctx context.Context, stateDir string) (*Recovery, error) {
	if _, err := os.Stat(stateDir); err != nil {
		return nil, fmt.Errorf("%w: name the daemon's state directory with --state-dir", err)
	}
	unlock, err := lockDir(stateDir)
	if err != nil {
		return nil, err
	}
	const machines, units = DefaultEtcdPrefix + "/v1/machine/", DefaultEtcdPrefix + "/v1/unit/"
	survivor, err := etcdserver.Survey(stateDir, func(key string) bool {
		return strings.HasPrefix(key, machines) || strings.HasPrefix(key, units)
	})
	if err != nil {
		unlock()
		return nil, err
	}
	r := &Recovery{Survivor: survivor, Machines: map[string]cluster.Machine{}, unlock: unlock}
	for key, value := range survivor.Values {
		id, isMachine := strings.CutPrefix(key, machines)
		var m cluster.Machine
		switch {
		case !isMachine:
			r.Units++
		case json.Unmarshal(value, &m) == nil:
			m.ID = id
			r.Machines[id] = m
		}
	}
	r.Answering = survivor.Answering(ctx, answerLimit)
	return r, nil
}

// Close lets a daemon work in the directory again.
func (r *Recovery) Close() { r.unlock() }

// Name is what people call the machine of a member.
func (r *Recovery) Name(m etcdserver.Member) string {
	if known, ok := r.Machines[m.Machine]; ok {
		return known.Label()
	}
	return cmp.Or(m.Machine, m.PeerURL)
}

// HasQuorum reports whether this machine, with the voters that answer, is a quorum: then the cluster isn't lost.
func (r *Recovery) HasQuorum() bool {
	votes := len(r.Answering)
	if !r.Survivor.Own.Learner {
		votes++
	}
	return votes > r.Survivor.Voters()/2
}

// Gone are the names of the other voters that don't answer.
func (r *Recovery) Gone() (names []string) {
	for _, m := range r.Survivor.Others {
		if !m.Learner && !slices.ContainsFunc(r.Answering, func(a etcdserver.Member) bool { return a.ID == m.ID }) {
			names = append(names, r.Name(m))
		}
	}
	slices.Sort(names)
	return names
}

// Run makes the new cluster, and returns its ID and where the old data is kept.
func (r *Recovery) Run(ctx context.Context, cfg etcdserver.Config) (id, kept string, err error) {
	id = randomID()
	kept, err = r.Survivor.Recover(ctx, id, cfg)
	return id, kept, err
}

// LeaveBehind moves this machine's data of a cluster that was recovered on another
// one away, so that its daemon joins that one. It returns where the data is.
func LeaveBehind(stateDir string) (string, error) {
	unlock, err := lockDir(stateDir)
	if err != nil {
		return "", err
	}
	defer unlock()
	return etcdserver.LeaveBehind(stateDir)
}
