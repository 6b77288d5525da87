package lock

// blockers calls f for every owner that w waits for: incompatible holders, and the
// incompatible ones before it in the queue.
func blockers(w *waiter, f func(*Owner)) {
	if w == nil {
		return
	}
	for _, h := range w.entry.holders {
		if h.owner != w.owner && (w.mode == Exclusive || h.mode == Exclusive) {
			f(h.owner)
		}
	}
	for _, q := range w.entry.queue {
		if q == w {
			return
		}
		if q.owner != w.owner && (w.mode == Exclusive || q.mode == Exclusive) {
			f(q.owner)
		}
	}
}

// cycleLength gives the number of transactions in the shortest cycle that the wait w
// closes, 0 if none. A cycle can come only from a new wait (a grant adds no edge that
// the queue did not already stand for), so looking once, from the newcomer, finds
// every deadlock.
func cycleLength(w *waiter) int {
	distance := map[*Owner]int{w.owner: 0}
	for queue := []*Owner{w.owner}; len(queue) > 0; queue = queue[1:] {
		o, length := queue[0], 0
		blockers(o.waiting, func(b *Owner) {
			if b == w.owner {
				length = distance[o] + 1
				return
			}
			if _, ok := distance[b]; !ok {
				distance[b] = distance[o] + 1
				queue = append(queue, b)
			}
		})
		if length > 0 {
			return length
		}
	}
	return 0
}
