// Package listen is where a daemon's API is reached: unix sockets for this
// machine's people, a TCP port for the other machines, and SSH. What a caller
// may do depends on the listener it came by.
package listen
