// Package cluster has the words the cluster is described in (Machine, Unit,
// Assignment, Status, Event), the Snapshot they add up to, and the contract of
// the Store that keeps them. It knows nothing of etcd or serf.
package cluster
