// Package leadership is a daemon's part in the cluster's elections: it campaigns
// while this machine is a candidate, and runs the leader's tasks for as long as
// it leads.
package leadership
