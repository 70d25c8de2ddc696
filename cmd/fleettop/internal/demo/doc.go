// Package demo runs a cluster of daemons on loopback, each with units as child
// processes, as if they were machines that can be powered off and on. It needs
// no root and leaves nothing behind.
package demo
