// Package manual makes fleettop's manual pages from the tables that the program
// itself uses: its verbs and their flags, the environment variables, and the
// options of the [X-Fleet] section. The same tables give the same bytes.
package manual
