// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {DaoGovernor} from "../src/DaoGovernor.sol";
import {DaoTimelock} from "../src/DaoTimelock.sol";
import {Rewards} from "../src/Rewards.sol";
import {DaoFixture} from "./DaoFixture.sol";

/// @notice One proposal with one call, from the first word to the deed.
abstract contract GovernanceFixture is DaoFixture {
    bytes32 internal constant WHY = keccak256("why");

    function setUp() public virtual override {
        super.setUp();
        vm.prank(founder);
        daoToken.transfer(ada, 30_000e18);
        vm.prank(ada);
        daoToken.delegate(ada);
        vm.prank(founder);
        daoToken.transfer(bob, 20_000e18);
        vm.prank(bob);
        daoToken.delegate(bob);
        vm.warp(START + 1);
    }

    function _calls(address target, bytes memory data)
        internal
        pure
        returns (address[] memory targets, uint256[] memory values, bytes[] memory datas)
    {
        (targets, values, datas) = (new address[](1), new uint256[](1), new bytes[](1));
        (targets[0], datas[0]) = (target, data);
    }

    function _propose(address target, bytes memory data) internal returns (uint256 id) {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        vm.prank(founder);
        return governor.propose(targets, values, datas, "why");
    }

    function _queue(address target, bytes memory data) internal {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        governor.queue(targets, values, datas, WHY);
    }

    function _execute(address target, bytes memory data) internal {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) = _calls(target, data);
        governor.execute(targets, values, datas, WHY);
    }

    function _vote(address voter, uint256 id, uint8 support) internal {
        vm.prank(voter);
        governor.castVote(id, support);
    }

    function _open(uint256 id) internal {
        vm.warp(governor.proposalSnapshot(id) + 1);
    }

    function _close(uint256 id) internal {
        vm.warp(governor.proposalDeadline(id) + 1);
    }

    /// @dev Everything but the deed itself.
    function _decide(address target, bytes memory data) internal returns (uint256 id) {
        id = _propose(target, data);
        _open(id);
        _vote(founder, id, 1);
        _close(id);
        _queue(target, data);
        vm.warp(governor.proposalEta(id));
    }

    function _state(uint256 id, IGovernor.ProposalState expected) internal view {
        vm.assertEq(uint256(governor.state(id)), uint256(expected));
    }
}

contract DaoGovernorTest is GovernanceFixture {
    function _payment() private view returns (bytes memory) {
        return abi.encodeCall(treasury.pay, (bob, 4e6, "audit"));
    }

    function test_it_starts_with_the_rules_given() public view {
        vm.assertEq(governor.name(), "Rodagila");
        vm.assertEq(governor.votingDelay(), 1 days);
        vm.assertEq(governor.votingPeriod(), 3 days);
        vm.assertEq(governor.proposalThreshold(), 1_000e18);
        vm.assertEq(governor.quorumNumerator(), 4);
        vm.assertEq(governor.CLOCK_MODE(), "mode=timestamp");
        vm.assertEq(governor.timelock(), address(timelock));
        vm.assertEq(address(governor.token()), address(daoToken));
        vm.assertEq(governor.quorum(START), FOUNDERS * 4 / 100);
        vm.assertEq(governor.leastPeriod(), 1);
        vm.assertEq(governor.mostThreshold(), CAP / 20);
    }

    function test_a_proposal_goes_from_words_to_deed() public {
        bytes memory payment = _payment();
        uint256 id = _propose(address(treasury), payment);
        _state(id, IGovernor.ProposalState.Pending);
        _open(id);
        _state(id, IGovernor.ProposalState.Active);
        _vote(founder, id, 1);
        _vote(ada, id, 0);
        _vote(bob, id, 2);
        (uint256 against, uint256 inFavour, uint256 abstain) = governor.proposalVotes(id);
        vm.assertEq(against, 30_000e18);
        vm.assertEq(inFavour, 50_000e18);
        vm.assertEq(abstain, 20_000e18);
        _close(id);
        _state(id, IGovernor.ProposalState.Succeeded);
        vm.assertTrue(governor.proposalNeedsQueuing(id));
        _queue(address(treasury), payment);
        _state(id, IGovernor.ProposalState.Queued);
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        _execute(address(treasury), payment);
        vm.warp(governor.proposalEta(id));
        vm.prank(stranger); // anyone
        _execute(address(treasury), payment);
        _state(id, IGovernor.ProposalState.Executed);
        vm.assertEq(token.balanceOf(bob), 1_000_004e6);
    }

    function test_who_has_too_little_proposes_nothing() public {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) =
            _calls(address(treasury), _payment());
        vm.expectRevert(
            abi.encodeWithSelector(IGovernor.GovernorInsufficientProposerVotes.selector, stranger, 0, 1_000e18)
        );
        vm.prank(stranger);
        governor.propose(targets, values, datas, "why");
    }

    function test_a_minority_decides_nothing() public {
        uint256 id = _propose(address(treasury), _payment());
        _open(id);
        _vote(ada, id, 1);
        _vote(founder, id, 0);
        _close(id);
        _state(id, IGovernor.ProposalState.Defeated);
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        _queue(address(treasury), _payment());
    }

    function test_too_few_decide_nothing() public {
        _decide(address(governor), abi.encodeCall(governor.updateQuorumNumerator, (30)));
        _execute(address(governor), abi.encodeCall(governor.updateQuorumNumerator, (30)));
        vm.warp(block.timestamp + 1);
        uint256 id = _propose(address(treasury), _payment());
        _open(id);
        _vote(bob, id, 1);
        _close(id);
        _state(id, IGovernor.ProposalState.Defeated);
    }

    function test_nobody_votes_twice_or_outside_the_period() public {
        uint256 id = _propose(address(treasury), _payment());
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        _vote(ada, id, 1);
        _open(id);
        _vote(ada, id, 1);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorAlreadyCastVote.selector, ada));
        _vote(ada, id, 0);
        _close(id);
        vm.expectPartialRevert(IGovernor.GovernorUnexpectedProposalState.selector);
        _vote(bob, id, 1);
    }

    function _ballot(uint256 key, uint256 id, uint8 support, uint256 nonce) private view returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Rodagila"),
                keccak256("1"),
                block.chainid,
                address(governor)
            )
        );
        bytes32 words = keccak256(abi.encode(governor.BALLOT_TYPEHASH(), id, support, ada, nonce));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", domain, words)));
        return abi.encodePacked(r, s, v);
    }

    function test_a_vote_by_signature_costs_its_voter_nothing() public {
        uint256 id = _propose(address(treasury), _payment());
        _open(id);
        bytes memory forged = _ballot(BOB_KEY, id, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidSignature.selector, ada));
        governor.castVoteBySig(id, 1, ada, forged);
        bytes memory ballot = _ballot(ADA_KEY, id, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidSignature.selector, ada));
        governor.castVoteBySig(id, 0, ada, ballot);
        vm.prank(stranger);
        governor.castVoteBySig(id, 1, ada, ballot);
        (, uint256 inFavour,) = governor.proposalVotes(id);
        vm.assertEq(inFavour, 30_000e18);
        vm.assertTrue(governor.hasVoted(id, ada));
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorInvalidSignature.selector, ada));
        governor.castVoteBySig(id, 1, ada, ballot);
    }

    function test_a_proposer_takes_back_what_is_not_yet_voted_on() public {
        (address[] memory targets, uint256[] memory values, bytes[] memory datas) =
            _calls(address(treasury), _payment());
        uint256 id = _propose(address(treasury), _payment());
        vm.expectRevert(abi.encodeWithSelector(IGovernor.GovernorUnableToCancel.selector, id, ada));
        vm.prank(ada);
        governor.cancel(targets, values, datas, WHY);
        vm.prank(founder);
        governor.cancel(targets, values, datas, WHY);
        _state(id, IGovernor.ProposalState.Canceled);
    }

    function test_every_rule_changes_by_a_vote_within_its_bounds() public {
        bytes[4] memory changes = [
            abi.encodeCall(governor.setVotingDelay, (2 days)),
            abi.encodeCall(governor.setVotingPeriod, (5 days)),
            abi.encodeCall(governor.setProposalThreshold, (CAP / 20)),
            abi.encodeCall(governor.updateQuorumNumerator, (50))
        ];
        for (uint256 i = 0; i < changes.length; ++i) {
            if (i == 3) {
                // A threshold above what the founder has stops her proposals: give her enough again.
                vm.prank(ada);
                daoToken.transfer(founder, 30_000e18);
                vm.warp(block.timestamp + 1);
            }
            _decide(address(governor), changes[i]);
            _execute(address(governor), changes[i]);
            vm.warp(block.timestamp + 1);
        }
        vm.assertEq(governor.votingDelay(), 2 days);
        vm.assertEq(governor.votingPeriod(), 5 days);
        vm.assertEq(governor.proposalThreshold(), CAP / 20);
        vm.assertEq(governor.quorumNumerator(), 50);
    }

    function _refuse(bytes memory change, string memory rule, uint256 given, uint256 least, uint256 most) private {
        _decide(address(governor), change);
        vm.expectRevert(abi.encodeWithSelector(DaoGovernor.RuleOutOfBounds.selector, rule, given, least, most));
        _execute(address(governor), change);
        vm.warp(block.timestamp + 1);
    }

    function test_no_vote_moves_a_rule_out_of_its_bounds() public {
        uint256 month = 30 days;
        _refuse(abi.encodeCall(governor.setVotingDelay, (0)), "voting delay", 0, 1, month);
        _refuse(abi.encodeCall(governor.setVotingDelay, (uint48(month + 1))), "voting delay", month + 1, 1, month);
        _refuse(abi.encodeCall(governor.setVotingPeriod, (0)), "voting period", 0, 1, month);
        _refuse(abi.encodeCall(governor.setVotingPeriod, (uint32(month + 1))), "voting period", month + 1, 1, month);
        _refuse(abi.encodeCall(governor.setProposalThreshold, (0)), "proposal threshold", 0, 1, CAP / 20);
        _refuse(
            abi.encodeCall(governor.setProposalThreshold, (CAP / 20 + 1)),
            "proposal threshold",
            CAP / 20 + 1,
            1,
            CAP / 20
        );
        _refuse(abi.encodeCall(governor.updateQuorumNumerator, (0)), "quorum", 0, 1, 50);
        _refuse(abi.encodeCall(governor.updateQuorumNumerator, (51)), "quorum", 51, 1, 50);
    }

    function test_no_launch_starts_out_of_bounds_and_public_chains_take_an_hour() public {
        vm.expectRevert(abi.encodeWithSelector(DaoGovernor.RuleOutOfBounds.selector, "voting delay", 0, 1, 30 days));
        new DaoGovernor(daoToken, timelock, DaoGovernor.Rules(0, 1, 1, 1));
        new DaoGovernor(daoToken, timelock, DaoGovernor.Rules(1, 1, 1, 1));
        vm.chainId(1);
        vm.expectRevert(
            abi.encodeWithSelector(DaoGovernor.RuleOutOfBounds.selector, "voting delay", 3599, 3600, 30 days)
        );
        new DaoGovernor(daoToken, timelock, DaoGovernor.Rules(3599, 3600, 1, 1));
        vm.expectRevert(
            abi.encodeWithSelector(DaoGovernor.RuleOutOfBounds.selector, "voting period", 3599, 3600, 30 days)
        );
        new DaoGovernor(daoToken, timelock, DaoGovernor.Rules(3600, 3599, 1, 1));
        new DaoGovernor(daoToken, timelock, DaoGovernor.Rules(3600, 3600, 1, 1));
    }

    function test_the_timelock_stays_even_by_a_vote() public {
        bytes memory change = abi.encodeCall(governor.updateTimelock, (TimelockController(payable(founder))));
        _decide(address(governor), change);
        vm.expectRevert(abi.encodeWithSelector(DaoGovernor.TimelockStays.selector, founder, address(timelock)));
        _execute(address(governor), change);
        vm.assertEq(governor.timelock(), address(timelock));
    }

    function test_nobody_changes_a_rule_without_a_vote() public {
        bytes[5] memory changes = [
            abi.encodeCall(governor.setVotingDelay, (2 days)),
            abi.encodeCall(governor.setVotingPeriod, (5 days)),
            abi.encodeCall(governor.setProposalThreshold, (1)),
            abi.encodeCall(governor.updateQuorumNumerator, (5)),
            abi.encodeCall(governor.updateTimelock, (TimelockController(payable(founder))))
        ];
        for (uint256 i = 0; i < changes.length; ++i) {
            vm.prank(founder);
            (bool done, bytes memory reason) = address(governor).call(changes[i]);
            vm.assertFalse(done);
            vm.assertEq(
                keccak256(reason), keccak256(abi.encodeWithSelector(IGovernor.GovernorOnlyExecutor.selector, founder))
            );
        }
    }

    /// @notice What the DAO decides day by day, each by a vote: policy, operator, model line, a root, the treasury.
    function test_everything_that_has_an_owner_is_done_by_a_vote() public {
        vm.prank(operator);
        rewards.postRoot(1, "payouts", 0, 0, 0, 0, 0, 0);
        address[4] memory targets = [address(registry), address(registry), address(registry), address(rewards)];
        bytes[4] memory datas = [
            abi.encodeCall(registry.setPolicy, (WHY)),
            abi.encodeCall(registry.setOperator, (ada)),
            abi.encodeCall(registry.registerModel, (WHY, 7, 0, address(0), new bytes32[](0))),
            abi.encodeCall(rewards.disable, (1))
        ];
        for (uint256 i = 0; i < targets.length; ++i) {
            _decide(targets[i], datas[i]);
            _execute(targets[i], datas[i]);
            vm.warp(block.timestamp + 1);
        }
        vm.assertEq(registry.policyHash(), WHY);
        vm.assertEq(registry.operator(), ada);
        (, bytes32[] memory parents) = registry.modelOf(WHY);
        vm.assertEq(parents.length, 0);
        vm.assertEq(uint256(rewards.lastTurn()), 0);
        vm.assertEq(bonds.creditOf(address(treasury)), ROOT_BOND);
    }
}

contract DaoTimelockTest is GovernanceFixture {
    function test_only_the_governor_has_a_word_and_anyone_executes() public view {
        vm.assertEq(timelock.getMinDelay(), 2 days);
        vm.assertTrue(timelock.hasRole(timelock.PROPOSER_ROLE(), address(governor)));
        vm.assertTrue(timelock.hasRole(timelock.CANCELLER_ROLE(), address(governor)));
        vm.assertTrue(timelock.hasRole(timelock.EXECUTOR_ROLE(), address(0)));
        vm.assertTrue(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), address(timelock)));
        address[5] memory others = [address(0), address(this), founder, operator, stranger];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.assertFalse(timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), others[i]));
            vm.assertFalse(timelock.hasRole(timelock.PROPOSER_ROLE(), others[i]));
            vm.assertFalse(timelock.hasRole(timelock.CANCELLER_ROLE(), others[i]));
        }
    }

    function test_the_delay_changes_by_a_vote_within_its_bounds() public {
        bytes memory change = abi.encodeCall(timelock.updateDelay, (30 days));
        _decide(address(timelock), change);
        _execute(address(timelock), change);
        vm.assertEq(timelock.getMinDelay(), 30 days);
        vm.warp(block.timestamp + 1);
        uint256[2] memory outside = [uint256(0), 30 days + 1];
        for (uint256 i = 0; i < 2; ++i) {
            change = abi.encodeCall(timelock.updateDelay, (outside[i]));
            _decide(address(timelock), change);
            vm.expectRevert(abi.encodeWithSelector(DaoTimelock.DelayOutOfBounds.selector, outside[i], 1, 30 days));
            _execute(address(timelock), change);
            vm.warp(block.timestamp + 1);
        }
        vm.assertEq(timelock.getMinDelay(), 30 days);
    }

    function test_nobody_else_changes_the_delay() public {
        vm.expectRevert(abi.encodeWithSelector(TimelockController.TimelockUnauthorizedCaller.selector, stranger));
        vm.prank(stranger);
        timelock.updateDelay(1 days);
    }

    function test_no_launch_starts_out_of_bounds_and_public_chains_take_an_hour() public {
        vm.expectRevert(abi.encodeWithSelector(DaoTimelock.DelayOutOfBounds.selector, 0, 1, 30 days));
        new DaoTimelock(0, address(governor));
        new DaoTimelock(1, address(governor));
        vm.chainId(10);
        vm.expectRevert(abi.encodeWithSelector(DaoTimelock.DelayOutOfBounds.selector, 3599, 3600, 30 days));
        new DaoTimelock(3599, address(governor));
        vm.assertEq(new DaoTimelock(3600, address(governor)).leastDelay(), 3600);
    }
}
