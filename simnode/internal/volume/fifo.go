package volume

// fifo is a queue that can be looked into. Popping costs no copy of the rest,
// except once in a while: a burst of n records would cost n² otherwise.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(v T) { q.items = append(q.items, v) }

// at gives the i-th from the front; the pointer is good until the next call.
func (q *fifo[T]) at(i int) *T { return &q.items[q.head+i] }

// drop takes n off the front.
func (q *fifo[T]) drop(n int) {
	clear(q.items[q.head : q.head+n])
	q.head += n
	if q.head*2 >= len(q.items) {
		rest := copy(q.items, q.items[q.head:])
		clear(q.items[rest:])
		q.items, q.head = q.items[:rest], 0
	}
}
