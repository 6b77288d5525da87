package stmtclass

// judge classes the command that just ended and adds the dirt that its verb
// means.
func (c *classifier) judge() (Class, Control) {
	cmd := &c.cmd
	switch cmd.verb {
	case kwSelect, kwValues, kwTable, kwWith, kwShow:
		if !cmd.spoiled && c.depth == 0 {
			return Read, ControlNone
		}
		return Write, ControlNone
	case kwSet:
		return cmd.judgeSet()
	case kwReset, kwUnlisten, kwFetch, kwMove, kwClose:
		return Session, ControlNone
	case kwListen:
		return cmd.session(DirtListen)
	case kwDeclare:
		return cmd.session(DirtCursor)
	case kwLoad:
		return cmd.session(DirtLoad)
	case kwDiscard, kwDeallocate:
		return cmd.session(DirtDiscard)
	case kwPrepare:
		if cmd.second == kwTransaction {
			return Transaction, ControlPrepare
		}
		return cmd.session(DirtPrepare)
	case kwCall, kwDo:
		cmd.dirt |= DirtUnknownCall
		return Write, ControlNone
	default:
		return cmd.judgeControl()
	}
}

// session records why the session is changed by a session command.
func (cmd *command) session(d Dirt) (Class, Control) {
	cmd.dirt |= d
	return Session, ControlNone
}

// judgeSet tells what lasts for the session from what ends with the
// transaction.
func (cmd *command) judgeSet() (Class, Control) {
	switch cmd.second {
	case kwTransaction:
		return Transaction, ControlSet
	case kwGlobal, kwConstraints: // SET LOCAL; the word GLOBAL isn't valid here
		return Session, ControlNone
	default:
		return cmd.session(DirtSetting)
	}
}

// judgeControl recognises the transaction commands; anything else is a write.
func (cmd *command) judgeControl() (Class, Control) {
	switch cmd.verb {
	case kwBegin, kwStart:
		return Transaction, ControlBegin
	case kwCommit, kwEnd:
		if cmd.second == kwPrepared {
			return Write, ControlPrepared
		}
		return Transaction, ControlCommit
	case kwRollback, kwAbort:
		switch {
		case cmd.second == kwPrepared:
			return Write, ControlPrepared
		case cmd.toWord:
			return Transaction, ControlRollbackTo
		default:
			return Transaction, ControlRollback
		}
	case kwSavepoint:
		return Transaction, ControlSavepoint
	case kwRelease:
		return Transaction, ControlRelease
	default:
		return Write, ControlNone
	}
}

// dml reports whether a command that begins with k reads or changes rows, and
// nothing else.
func (k keyword) dml() bool {
	switch k {
	case kwSelect, kwValues, kwTable, kwWith, kwInsert, kwUpdate, kwDelete, kwMerge:
		return true
	default:
		return false
	}
}
