// Package e2e holds fleettop's end-to-end tests: the static binary, installed
// with its service file on real systemd machines of a lab, seen from outside
// through its command line, systemd and the processes that run.
//
// They are built with the tag e2e, and those that measure also with figures.
// They need root, and what package lab needs. FLEETTOP_BINARY names a binary
// to test in place of one built from the source.
package e2e
