// Package membership knows who is in the cluster and who failed, by gossip: a
// serf whose failure detector is tuned to notice a silent machine within half
// a second. It also has the probe, a second and independent look at a machine,
// with which the leader tells a dead machine from a dead daemon. It knows
// nothing of etcd.
package membership
