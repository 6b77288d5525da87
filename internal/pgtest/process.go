package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// watchdogScript waits for the end of its input, which comes when the process
// that started it ends in whatever way, and then ends the server named by the
// pid file in $1 with all its children, and removes the folder. Stopping the
// postmaster first keeps it from starting a child that the list would miss.
// The children are found through /proc or ps, because each one has a session
// of its own and no signal to the postmaster's group reaches it. The command
// line is compared because the pid of a server that was killed may belong to
// somebody else by now; such a server leaves a shared memory segment.
const watchdogScript = `
cat >/dev/null
file="$1/data/postmaster.pid"
read -r pm <"$file" 2>/dev/null
case "$pm" in ''|*[!0-9]*) pm=0 ;; esac
args=$(tr '\0' ' ' <"/proc/$pm/cmdline" 2>/dev/null || ps -o args= -p "$pm" 2>/dev/null)
case "$args" in
*" $1/data "*)
  kill -STOP "$pm"
  kids=$(cat "/proc/$pm/task/$pm/children" 2>/dev/null || ps -A -o pid= -o ppid= | awk -v p="$pm" '$2 == p { print $1 }')
  kill -KILL $kids "$pm"
  ;;
esac
shm=$(sed -n '7s/.* //p' "$file" 2>/dev/null)
[ -n "$shm" ] && ipcrm -m "$shm"
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`

// watchdog is a process that outlives this one just long enough to clean up.
type watchdog struct {
	cmd  *exec.Cmd
	pipe *os.File // the end of it that only this process holds
}

func startWatchdog(root string) (*watchdog, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "pgtest-watchdog", root)
	cmd.Stdin = read
	cmd.Env = serverEnv()
	cmd.Dir = "/"
	ownGroup(cmd) // so that an interrupt from the terminal leaves it alive
	err = cmd.Start()
	err = errors.Join(err, read.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start watchdog: %w", err), write.Close())
	}
	return &watchdog{cmd: cmd, pipe: write}, nil
}

// finish lets the watchdog do its work now and waits for its end.
func (w *watchdog) finish() error {
	return errors.Join(w.pipe.Close(), w.cmd.Wait())
}

// children lists the processes whose parent is pid.
func children(pid int) ([]int, error) {
	out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil {
		return parsePIDs(strings.Fields(string(out)))
	}
	out, err = exec.Command("ps", "-A", "-o", "pid=", "-o", "ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("list the server's processes: %w", err)
	}
	var fields []string
	for line := range bytes.Lines(out) {
		pair := strings.Fields(string(line))
		if len(pair) == 2 && pair[1] == strconv.Itoa(pid) {
			fields = append(fields, pair[0])
		}
	}
	return parsePIDs(fields)
}

func parsePIDs(fields []string) ([]int, error) {
	pids := make([]int, 0, len(fields))
	for _, field := range fields {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("list the server's processes: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// processState reads the state letter of proc(5): R, S, D, T, t, Z or X. It is
// false where there is no /proc or no such process.
func processState(pid int) (byte, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name before it stands in parentheses and may hold any character.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 || end+2 >= len(stat) {
		return 0, false
	}
	return stat[end+2], true
}
