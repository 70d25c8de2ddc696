// Package etcdnode is this machine's way to etcd: a Node runs the embedded
// member, or uses an etcd that is there already, and keeps one client pointed
// at members that live. Voters, which the leader runs, decides who votes.
package etcdnode
