# Parts of the scripts that all package formats share. POSIX sh: Alpine's is busybox.

managed() { [ -d /run/systemd/system ]; }

prepare() {
	if command -v systemd-sysusers >/dev/null; then
		systemd-sysusers fleettop.conf
	else
		for group in fleettop fleettop-view; do
			if getent group "$group" >/dev/null; then
				:
			elif command -v groupadd >/dev/null; then
				groupadd --system "$group"
			else
				addgroup -S "$group"
			fi
		done
	fi
	if managed; then
		systemctl daemon-reload
	fi
}

installed() {
	prepare
	echo "fleettop: nothing was started."
	if ! managed; then
		echo "fleettop: have this machine's init start: fleettop daemon"
	elif [ -e /etc/fleettop/key ]; then
		echo "fleettop: start its daemon: systemctl enable --now fleettop"
	else
		echo "fleettop: on a cluster's first machine: fleettop key generate && systemctl enable --now fleettop"
		echo "fleettop: on any other: the line that \`fleettop join-command\` prints on a machine of the cluster"
	fi
}

upgraded() {
	prepare
	if ! managed; then
		echo "fleettop: restart its daemon to have the new version; units run on."
	elif ! systemctl try-restart fleettop.service; then
		echo "fleettop: the daemon didn't start again; units run on. See: journalctl -u fleettop" >&2
	fi
}

# removing stops the daemon, and no unit.
removing() {
	if ! managed; then
		echo "fleettop: if its daemon runs, stop it; units run on."
		return
	fi
	systemctl --quiet --no-reload disable fleettop.service 2>/dev/null || :
	systemctl stop fleettop.service
	running=
	for file in /run/fleettop/units/*; do
		unit=${file##*/}
		if [ "$unit" != fleettop-fence.service ] && systemctl --quiet is-active "$unit" 2>/dev/null; then
			running="$running $unit"
		fi
	done
	if [ -n "$running" ]; then
		echo "fleettop: the daemon is stopped. Units of the cluster run on here:$running"
		echo "fleettop: other machines of the cluster start them, too, when its --daemon-grace (10 s) is over."
		echo "fleettop: exclusive ones end here before that. To stop the others here:"
		echo "fleettop:   systemctl stop$running"
		echo "fleettop: next time, \`fleettop leave\` before the removal moves units away."
	fi
}

removed() {
	if managed; then
		systemctl daemon-reload
	fi
	for dir in /etc/fleettop /var/lib/fleettop; do
		if [ -n "$(ls -A "$dir" 2>/dev/null)" ]; then
			echo "fleettop: $dir is kept; it has the cluster's key or this machine's state."
		fi
	done
}
