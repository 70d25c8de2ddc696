// Package daemon is one machine's share of the cluster. Run opens what needs
// closing (daemon.go), wires the packages below together (wiring.go), runs them
// and takes them apart again (node.go). Each of them says in interfaces what it
// needs of the others. What is left here is what concerns all of them: the
// configuration, the host's locks, and how a machine leaves.
package daemon
