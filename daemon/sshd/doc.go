// Package sshd lets people into a daemon over SSH: with a terminal they get
// the console, with a command a verb of fleettop's. There is no shell behind
// it, no file of the machine, and no way on into the network.
//
// Who comes in is decided by a file of public keys, and what they may do by
// the role that the key's line there names. Their requests reach the API
// without a network, in that role.
package sshd
