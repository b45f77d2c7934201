// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IBonds} from "../src/IBonds.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {IRegistry} from "../src/IRegistry.sol";
import {Operated} from "../src/Operated.sol";
import {Owned} from "../src/Owned.sol";
import {Registry} from "../src/Registry.sol";
import {Rewards} from "../src/Rewards.sol";
import {CallingToken} from "./CallingToken.sol";
import {DaoFixture} from "./DaoFixture.sol";

abstract contract RewardsFixture is DaoFixture {
    function _dispute(uint64 turn) internal {
        vm.prank(stranger);
        rewards.dispute(turn, "recomputed");
    }

    function _resolve(uint64 turn, bool rootsWereWrong) internal {
        vm.prank(address(timelock));
        rewards.resolve(turn, rootsWereWrong);
    }

    function _disable(uint64 turn) internal {
        vm.prank(address(timelock));
        rewards.disable(turn);
    }

    function _empty(uint64 turn) internal {
        _postRoots(turn, 0, 0, 0);
    }

    function _new(uint64 window) internal returns (Rewards) {
        return new Rewards(
            address(timelock),
            registry,
            IPayToken(address(token)),
            address(treasury),
            bonds,
            daoToken,
            window,
            ROOT_BOND
        );
    }
}

contract RewardsFundingTest is RewardsFixture {
    function test_it_knows_its_dao() public view {
        vm.assertEq(rewards.owner(), address(timelock));
        vm.assertEq(address(rewards.registry()), address(registry));
        vm.assertEq(address(rewards.token()), address(token));
        vm.assertEq(rewards.treasury(), address(treasury));
        vm.assertEq(address(rewards.bonds()), address(bonds));
        vm.assertEq(address(rewards.daoToken()), address(daoToken));
        vm.assertEq(uint256(rewards.challengeWindow()), WINDOW);
        vm.assertEq(rewards.rootBond(), ROOT_BOND);
    }

    function test_windows_have_bounds() public {
        (uint64 least, uint64 most) = (1, rewards.MAX_WINDOW());
        uint64[2] memory outside = [0, most + 1];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Rewards.WindowOutOfBounds.selector, outside[i], least, most));
            _new(outside[i]);
        }
        _new(least);
        _new(most);
    }

    function test_only_the_treasury_funds() public {
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotTreasury.selector, stranger, address(treasury)));
        vm.prank(stranger);
        rewards.fund(1, 1);
    }

    function test_a_pool_is_told_and_counted() public {
        vm.expectEmit(address(rewards));
        emit Rewards.PoolFunded(1, 60e6);
        _fund(1, 60e6);
        _fund(2, 40e6);
        vm.assertEq(rewards.totalFunded(), 100e6);
        vm.assertEq(token.balanceOf(address(rewards)), 100e6);
    }

    function test_what_is_not_owed_can_go_back() public {
        _fund(1, 100e6);
        _post(1, 60e6, 30e6, 90e6);
        vm.prank(address(timelock));
        vm.expectRevert(abi.encodeWithSelector(Rewards.ExceedsUnowed.selector, 10e6 + 1, 10e6));
        rewards.returnUnowed(10e6 + 1);
        vm.prank(address(timelock));
        vm.expectRevert(Rewards.ZeroAmount.selector);
        rewards.returnUnowed(0);
        vm.expectEmit(address(rewards));
        emit Rewards.UnowedReturned(9e6);
        vm.prank(address(timelock));
        rewards.returnUnowed(9e6);
        vm.prank(address(timelock));
        rewards.returnUnowed(1e6);
        vm.assertEq(token.balanceOf(address(treasury)), 999_910e6);
        vm.assertEq(rewards.totalFunded(), 90e6);
    }

    function test_only_the_owner_resolves_disables_and_returns() public {
        _empty(1);
        address[2] memory others = [stranger, operator];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory refusal = abi.encodeWithSelector(Owned.NotOwner.selector, others[i], address(timelock));
            vm.expectRevert(refusal);
            vm.prank(others[i]);
            rewards.resolve(1, true);
            vm.expectRevert(refusal);
            vm.prank(others[i]);
            rewards.disable(1);
            vm.expectRevert(refusal);
            vm.prank(others[i]);
            rewards.returnUnowed(1);
        }
    }

    function test_only_the_operator_posts() public {
        address[2] memory others = [stranger, address(timelock)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Operated.NotOperator.selector, others[i], operator));
            vm.prank(others[i]);
            rewards.postRoot(1, 0, 0, 0, 0, 0, 0, 0);
        }
    }

    /// @dev Money that calls back is the owner, the operator and the treasury here, so that only the guard is in its way.
    function test_money_that_calls_back_finds_the_door_shut() public {
        CallingToken calling = new CallingToken();
        Registry log = new Registry(address(calling), address(calling), POLICY);
        rewards = new Rewards(
            address(calling), log, IPayToken(address(calling)), address(calling), bonds, daoToken, WINDOW, 0
        );
        calling.drip(address(calling), 10);
        vm.prank(address(calling));
        calling.approve(address(rewards), 10);
        vm.prank(address(calling));
        rewards.fund(1, 10);
        bytes32 leaf = rewards.payoutLeaf(1, ada, 5);
        vm.prank(address(calling));
        rewards.postRoot(1, leaf, 0, 0, 5, 5, 0, 0);
        _finish(1);
        bytes memory claim = abi.encodeCall(rewards.claim, (1, ada, 5, new bytes32[](0)));
        bytes[9] memory backs = [
            claim,
            abi.encodeCall(rewards.claimMany, (1, new address[](0), new uint256[](0), new bytes32[][](0))),
            abi.encodeCall(rewards.fund, (2, 1)),
            abi.encodeCall(rewards.returnUnowed, (1)),
            abi.encodeCall(rewards.postRoot, (2, 0, 0, 0, 0, 0, 0, 0)),
            abi.encodeCall(rewards.finalize, (1)),
            abi.encodeCall(rewards.dispute, (1, 0)),
            abi.encodeCall(rewards.resolve, (1, true)),
            abi.encodeCall(rewards.disable, (1))
        ];
        for (uint256 i = 0; i < backs.length; ++i) {
            calling.callBack(address(rewards), backs[i]);
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            rewards.claim(1, ada, 5, new bytes32[](0));
        }
        vm.assertEq(rewards.claimed(ada), 0);
        calling.callBack(address(0), "");
        rewards.claim(1, ada, 5, new bytes32[](0));
        vm.assertEq(calling.balanceOf(ada), 5);
    }
}

contract RewardsRootTest is RewardsFixture {
    function test_a_root_is_told_with_all_that_rebuilds_it() public {
        _fund(1, 100e6);
        vm.expectEmit(address(rewards));
        emit Rewards.RootPosted(
            1, "payouts", "slashes", "tokens", 90e6, 80e6, 7, "file", operator, uint64(START + WINDOW)
        );
        vm.prank(operator);
        rewards.postRoot(1, "payouts", "slashes", "tokens", 90e6, 80e6, 7, "file");
        Rewards.Root memory root = rewards.rootOf(1);
        vm.assertEq(root.payoutRoot, "payouts");
        vm.assertEq(root.slashRoot, "slashes");
        vm.assertEq(root.tokenRoot, "tokens");
        vm.assertEq(root.publicHash, "file");
        vm.assertEq(uint256(root.owed), 80e6);
        vm.assertEq(uint256(root.issued), 7);
        vm.assertEq(root.poster, operator);
        vm.assertEq(uint256(root.finalAt), START + WINDOW);
        vm.assertEq(root.challenger, address(0));
        vm.assertEq(uint256(root.disputedAt), 0);
        vm.assertEq(rewards.totalOwed(), 80e6);
        vm.assertEq(rewards.totalIssued(), 7);
        vm.assertEq(uint256(rewards.lastTurn()), 1);
        vm.assertEq(rewards.rootOf(2).finalAt, 0);
    }

    function test_a_root_waits_behind_a_bond_and_a_window() public {
        _postRoots(1, "payouts", 0, 0);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6 - ROOT_BOND);
        vm.assertEq(token.balanceOf(address(bonds)), ROOT_BOND);
        vm.warp(START + WINDOW - 1);
        vm.assertFalse(rewards.canFinalize(1));
        vm.expectRevert(abi.encodeWithSelector(Rewards.WindowOpen.selector, 1, START + WINDOW, START + WINDOW - 1));
        rewards.finalize(1);
        vm.warp(START + WINDOW);
        vm.assertTrue(rewards.canFinalize(1));
        vm.assertFalse(rewards.isFinal(1));
        vm.assertEq(uint256(rewards.finalTurn()), 0);
        vm.expectEmit(address(rewards));
        emit Rewards.RootFinal(1, "payouts");
        vm.prank(stranger);
        rewards.finalize(1);
        vm.assertTrue(rewards.isFinal(1));
        vm.assertFalse(rewards.canFinalize(1));
        vm.assertEq(uint256(rewards.finalTurn()), 1);
        vm.assertEq(rewards.finalRoot(), "payouts");
        vm.assertEq(bonds.creditOf(operator), ROOT_BOND);
    }

    function test_only_what_was_posted_and_is_open_becomes_final() public {
        vm.assertFalse(rewards.isFinal(0));
        vm.assertFalse(rewards.canFinalize(0));
        uint8[2] memory unknown = [0, 1];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, unknown[i], 0));
            rewards.finalize(unknown[i]);
        }
        _empty(1);
        _finish(1);
        vm.assertFalse(rewards.isFinal(2));
        vm.assertFalse(rewards.canFinalize(2));
        vm.expectRevert(abi.encodeWithSelector(Rewards.AlreadyFinal.selector, 1, 1));
        rewards.finalize(1);
        vm.assertEq(bonds.creditOf(operator), ROOT_BOND);
    }

    function test_roots_are_posted_in_order_each_once() public {
        vm.expectRevert(abi.encodeWithSelector(Rewards.TurnOutOfOrder.selector, 2, 1));
        _empty(2);
        _empty(1);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Rewards.TurnOutOfOrder.selector, 1, 2));
        _empty(1);
        vm.assertEq(uint256(rewards.finalTurn()), 0);
    }

    function test_posting_makes_the_turn_before_final() public {
        _postRoots(1, "payouts", 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Rewards.WindowOpen.selector, 1, START + WINDOW, START));
        _empty(2);
        _passWindow();
        vm.expectEmit(address(rewards));
        emit Rewards.RootFinal(1, "payouts");
        _empty(2);
        vm.assertEq(uint256(rewards.lastTurn()), 2);
        vm.assertEq(uint256(rewards.finalTurn()), 1);
        vm.assertEq(rewards.finalRoot(), "payouts");
        _finish(2);
        _empty(3); // after which there is nothing to make final
        vm.assertEq(uint256(rewards.finalTurn()), 2);
    }

    function test_a_root_pays_at_most_its_pool_and_what_is_funded() public {
        _fund(1, 100e6);
        vm.expectRevert(abi.encodeWithSelector(Rewards.PaysMoreThanPool.selector, 50e6 + 1, 50e6));
        vm.prank(operator);
        rewards.postRoot(1, 0, 0, 0, 50e6, 50e6 + 1, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotFunded.selector, 100e6 + 1, 100e6));
        vm.prank(operator);
        rewards.postRoot(1, 0, 0, 0, 200e6, 100e6 + 1, 0, 0);
        _post(1, 60e6, 40e6, 100e6);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotFunded.selector, 100e6 + 1, 100e6));
        vm.prank(operator);
        rewards.postRoot(2, 0, 0, 0, 1, 1, 0, 0);
        _fund(2, 1);
        vm.prank(operator);
        rewards.postRoot(2, 0, 0, 0, 1, 1, 0, 0);
        vm.assertEq(rewards.totalOwed(), 100e6 + 1);
    }

    function test_a_turn_issues_at_most_what_the_supply_rule_allows() public {
        vm.expectRevert(abi.encodeWithSelector(Rewards.IssuesTooMuch.selector, 1, PER_TURN + 1, PER_TURN));
        _postAll(1, 0, 0, 0, 0, PER_TURN + 1);
        _postAll(1, 0, 0, 0, 0, PER_TURN);
        _passWindow();
        _postAll(2, 0, 0, 0, 0, 5);
        vm.assertEq(rewards.totalIssued(), PER_TURN + 5);
        _finish(2);
        // What turn 2 left is not there for turn 3.
        vm.expectRevert(abi.encodeWithSelector(Rewards.IssuesTooMuch.selector, 3, PER_TURN + 1, PER_TURN));
        _postAll(3, 0, 0, 0, 0, PER_TURN + 1);
    }

    function test_amounts_beyond_the_books_are_refused() public {
        uint256 huge = uint256(type(uint128).max) + 1;
        token.drip(address(treasury), huge);
        _fund(1, huge);
        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 128, huge));
        vm.prank(operator);
        rewards.postRoot(1, 0, 0, 0, huge, huge, 0, 0);
        _postRoots(1, 0, 0, huge - 1);
    }

    function test_a_root_needs_its_bond() public {
        vm.prank(operator);
        token.approve(address(bonds), ROOT_BOND - 1);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        _empty(1);
        vm.assertEq(uint256(rewards.lastTurn()), 0);
    }

    function test_slashes_and_tokens_count_when_their_turn_is_final() public {
        _postAll(1, 0, "slashes", "tokens", 0, 7);
        _refuseFinal(1);
        _finish(1);
        vm.assertEq(rewards.finalSlashRoot(1), "slashes");
        _tokens(1, "tokens", 1, 7);
        _postAll(2, 0, "later", "later", 0, 1);
        _refuseFinal(2);
        _finish(2);
        _tokens(1, "tokens", 2, 8); // of all final turns together
        _tokens(2, "later", 2, 8);
        vm.assertEq(rewards.finalSlashRoot(1), "slashes"); // an older one stays
        _disable(2);
        _refuseFinal(2);
        vm.assertEq(rewards.finalSlashRoot(1), "slashes");
    }

    function _tokens(uint64 turn, bytes32 root, uint64 newest, uint256 issued) private view {
        (bytes32 root_, uint64 newest_, uint256 issued_) = rewards.finalTokenRoot(turn);
        vm.assertEq(root_, root);
        vm.assertEq(uint256(newest_), newest);
        vm.assertEq(issued_, issued);
    }

    function _refuseFinal(uint64 turn) private view {
        _tokens(turn, 0, turn - 1, turn == 1 ? 0 : 7);
        vm.assertEq(rewards.finalSlashRoot(turn), 0);
    }
}

contract RewardsDisputeTest is RewardsFixture {
    function test_a_disputed_root_does_not_become_final() public {
        _empty(1);
        vm.expectEmit(address(rewards));
        emit Rewards.Disputed(1, stranger, "recomputed");
        _dispute(1);
        vm.assertEq(token.balanceOf(stranger), 1_000_000e6 - ROOT_BOND);
        vm.assertEq(rewards.rootOf(1).challenger, stranger);
        vm.assertEq(uint256(rewards.rootOf(1).disputedAt), START);
        _passWindow();
        vm.assertFalse(rewards.canFinalize(1));
        bytes memory refusal = abi.encodeWithSelector(Rewards.UnderDispute.selector, 1, stranger);
        vm.expectRevert(refusal);
        rewards.finalize(1);
        vm.expectRevert(refusal);
        rewards.claim(1, ada, 1, new bytes32[](0));
        vm.expectRevert(refusal);
        _dispute(1);
        vm.expectRevert(refusal);
        _empty(2);
    }

    function test_a_wrong_root_is_taken_away_and_its_bond_goes_to_the_challenger() public {
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
        _dispute(1);
        vm.expectEmit(address(rewards));
        emit Rewards.Resolved(1, stranger, true, 0);
        _resolve(1, true);
        vm.assertEq(bonds.creditOf(stranger), 2 * ROOT_BOND);
        vm.assertEq(bonds.creditOf(operator), 0);
        vm.assertEq(rewards.totalOwed(), 0);
        vm.assertEq(uint256(rewards.lastTurn()), 0);
        vm.assertEq(uint256(rewards.rootOf(1).finalAt), 0);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 1, 0));
        rewards.claim(1, ada, 60e6, new bytes32[](0));
        _post(1, 50e6, 50e6, 100e6);
        vm.assertEq(rewards.rootOf(1).challenger, address(0));
        vm.assertEq(uint256(rewards.rootOf(1).disputedAt), 0);
        _finish(1);
        rewards.claim(1, ada, 50e6, _one(rewards.payoutLeaf(1, bob, 50e6)));
        vm.assertEq(token.balanceOf(ada), 1_000_050e6);
    }

    function test_a_dismissed_challenge_pays_the_poster_and_the_window_goes_on() public {
        _empty(1);
        vm.warp(START + WINDOW / 2);
        _dispute(1);
        vm.warp(START + 10 * WINDOW);
        uint64 finalAt = uint64(START + 10 * WINDOW + WINDOW / 2);
        vm.expectEmit(address(rewards));
        emit Rewards.Resolved(1, stranger, false, finalAt);
        _resolve(1, false);
        vm.assertEq(uint256(rewards.rootOf(1).finalAt), finalAt);
        vm.assertEq(uint256(rewards.rootOf(1).disputedAt), 0);
        vm.assertEq(bonds.creditOf(operator), ROOT_BOND); // the challenger's
        vm.assertEq(bonds.creditOf(stranger), 0);
        vm.assertFalse(rewards.canFinalize(1));
        _dispute(1); // another challenger is not shut out
        _resolve(1, false);
        vm.warp(finalAt - 1);
        vm.assertFalse(rewards.canFinalize(1));
        vm.warp(finalAt);
        rewards.finalize(1);
        vm.assertEq(bonds.creditOf(operator), 3 * ROOT_BOND);
        vm.assertEq(token.balanceOf(address(bonds)), 3 * ROOT_BOND);
    }

    function test_a_dispute_comes_within_the_window() public {
        uint8[2] memory unknown = [0, 1];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, unknown[i], 0));
            _dispute(unknown[i]);
        }
        _empty(1);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Rewards.WindowOver.selector, 1, START + WINDOW, START + WINDOW));
        _dispute(1);
        rewards.finalize(1);
        vm.expectRevert(abi.encodeWithSelector(Rewards.AlreadyFinal.selector, 1, 1));
        _dispute(1);
    }

    function test_the_last_second_of_the_window_is_enough() public {
        _empty(1);
        vm.warp(START + WINDOW - 1);
        _dispute(1);
        _resolve(1, false);
        vm.assertEq(uint256(rewards.rootOf(1).finalAt), START + WINDOW);
    }

    function test_a_dispute_needs_the_bond() public {
        _empty(1);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vm.prank(address(0xdead));
        rewards.dispute(1, 0);
        vm.assertEq(rewards.rootOf(1).challenger, address(0));
    }

    function test_only_a_dispute_is_resolved() public {
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 1, 0));
        _resolve(1, true);
        _empty(1);
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotDisputed.selector, 1));
        _resolve(1, true);
        _finish(1);
        vm.expectRevert(abi.encodeWithSelector(Rewards.AlreadyFinal.selector, 1, 1));
        _resolve(1, true);
    }

    function test_a_bond_of_nothing_moves_nothing() public {
        _launch(WINDOW, 0);
        _empty(1);
        _dispute(1);
        _resolve(1, true);
        _empty(1);
        _dispute(1);
        _resolve(1, false);
        _finish(1);
        _empty(2);
        _disable(1);
        vm.assertEq(token.balanceOf(stranger), 1_000_000e6);
        vm.assertEq(token.balanceOf(address(bonds)), 0);
        vm.assertEq(bonds.creditOf(operator) + bonds.creditOf(stranger) + bonds.creditOf(address(treasury)), 0);
    }

    /// @dev Every step with bonds of nothing leaves the bonds contract alone: here it is none.
    function test_a_bond_of_nothing_asks_nobody() public {
        rewards = new Rewards(
            address(timelock),
            registry,
            IPayToken(address(token)),
            address(treasury),
            IBonds(address(0xdead)),
            daoToken,
            WINDOW,
            0
        );
        _empty(1);
        _dispute(1);
        _resolve(1, false);
        _finish(1);
        vm.assertTrue(rewards.isFinal(1));
    }
}

contract RewardsDisableTest is RewardsFixture {
    /// @dev Turn 1: 60 and 40; turn 2: 80 and 70.
    function _twoTurns() private {
        _fund(1, 150e6);
        _post(1, 60e6, 40e6, 100e6);
        _passWindow();
        _post(2, 80e6, 70e6, 50e6);
    }

    function test_an_open_root_is_taken_away_and_its_bond_goes_to_the_treasury() public {
        _twoTurns();
        bytes32 standing = rewards.rootOf(1).payoutRoot;
        vm.expectEmit(address(rewards));
        emit Rewards.RootsDisabled(2, 2, standing);
        _disable(2);
        vm.assertEq(bonds.creditOf(address(treasury)), ROOT_BOND);
        vm.assertEq(uint256(rewards.lastTurn()), 1);
        vm.assertEq(uint256(rewards.finalTurn()), 1);
        vm.assertEq(rewards.totalOwed(), 100e6);
        rewards.claim(1, ada, 60e6, _one(rewards.payoutLeaf(1, bob, 40e6)));
        bonds.withdrawCredit(address(treasury));
        vm.assertEq(token.balanceOf(address(treasury)), 1_000_000e6 - 150e6 + ROOT_BOND);
    }

    function test_a_disputed_root_is_taken_away_and_its_bond_goes_to_the_challenger() public {
        _twoTurns();
        _dispute(2);
        _disable(2);
        vm.assertEq(bonds.creditOf(stranger), 2 * ROOT_BOND);
        vm.assertEq(bonds.creditOf(address(treasury)), 0);
    }

    function test_the_last_accepted_root_stays_claimable_when_a_final_one_is_disabled() public {
        _twoTurns();
        _finish(2);
        vm.assertEq(bonds.creditOf(operator), ROOT_BOND); // of root 2; that of root 1 went into it
        rewards.claim(2, ada, 80e6, _one(rewards.payoutLeaf(2, bob, 70e6)));
        bytes32 standing = rewards.rootOf(1).payoutRoot;
        _disable(2);
        vm.assertEq(bonds.creditOf(address(treasury)), 0);
        vm.assertEq(bonds.creditOf(operator), ROOT_BOND);
        vm.assertFalse(rewards.isFinal(2));
        vm.assertTrue(rewards.isFinal(1));
        vm.assertEq(rewards.finalRoot(), standing);
        vm.assertEq(rewards.claimed(ada), 80e6); // what was paid stays paid
        bytes32[] memory adas = _one(rewards.payoutLeaf(1, bob, 40e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.NothingToClaim.selector, ada, 60e6, 80e6));
        rewards.claim(1, ada, 60e6, adas);
        rewards.claim(1, bob, 40e6, _one(rewards.payoutLeaf(1, ada, 60e6)));
        vm.assertEq(token.balanceOf(bob), 1_000_040e6);
        bytes32[] memory disabled = _one(rewards.payoutLeaf(2, ada, 80e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 2, 1));
        rewards.claim(2, bob, 70e6, disabled);
    }

    function test_an_older_root_takes_all_later_ones_with_it() public {
        _twoTurns();
        _finish(2);
        _empty(3);
        vm.expectEmit(address(rewards));
        emit Rewards.RootsDisabled(1, 3, 0);
        _disable(1);
        vm.assertEq(bonds.creditOf(address(treasury)), ROOT_BOND); // that of root 3
        vm.assertEq(uint256(rewards.lastTurn()), 0);
        vm.assertEq(uint256(rewards.finalTurn()), 0);
        vm.assertEq(rewards.finalRoot(), 0);
        vm.assertEq(rewards.totalOwed(), 0);
        _post(1, 50e6, 50e6, 100e6);
        _finish(1);
        rewards.claim(1, ada, 50e6, _one(rewards.payoutLeaf(1, bob, 50e6)));
        vm.assertEq(token.balanceOf(ada), 1_000_050e6);
    }

    function test_only_a_root_that_stands_is_disabled() public {
        uint8[2] memory unknown = [0, 1];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, unknown[i], 0));
            _disable(unknown[i]);
        }
        _empty(1);
        _disable(1);
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 1, 0));
        _disable(1);
    }
}

contract RewardsClaimTest is RewardsFixture {
    function setUp() public override {
        super.setUp();
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
    }

    function _claimAda(uint64 turn, uint256 total, uint256 bobTotal) private {
        rewards.claim(turn, ada, total, _one(rewards.payoutLeaf(turn, bob, bobTotal)));
    }

    function test_a_claim_pays_the_account_in_the_leaf() public {
        _finish(1);
        vm.expectEmit(address(rewards));
        emit Rewards.Claimed(1, ada, 60e6, 60e6);
        vm.prank(stranger);
        _claimAda(1, 60e6, 40e6);
        vm.assertEq(token.balanceOf(ada), 1_000_060e6);
        vm.assertEq(token.balanceOf(stranger), 1_000_000e6);
        vm.assertEq(token.balanceOf(address(rewards)), 40e6);
        vm.assertEq(rewards.claimed(ada), 60e6);
    }

    function test_a_claim_pays_once() public {
        _finish(1);
        _claimAda(1, 60e6, 40e6);
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.NothingToClaim.selector, ada, 60e6, 60e6));
        rewards.claim(1, ada, 60e6, proof);
    }

    function test_a_later_claim_pays_the_difference() public {
        _finish(1);
        _claimAda(1, 60e6, 40e6);
        _fund(2, 50e6);
        _post(2, 80e6, 70e6, 50e6);
        _finish(2);
        vm.expectEmit(address(rewards));
        emit Rewards.Claimed(2, ada, 20e6, 80e6);
        _claimAda(2, 80e6, 70e6);
        vm.assertEq(token.balanceOf(ada), 1_000_080e6);
        rewards.claim(2, bob, 70e6, _one(rewards.payoutLeaf(2, ada, 80e6)));
        vm.assertEq(token.balanceOf(bob), 1_000_070e6);
    }

    function test_the_last_final_root_stays_claimable_while_the_next_waits() public {
        _finish(1);
        _post(2, 60e6, 40e6, 0);
        _claimAda(1, 60e6, 40e6);
        bytes32[] memory proof = _one(rewards.payoutLeaf(2, ada, 60e6));
        vm.expectPartialRevert(Rewards.WindowOpen.selector);
        rewards.claim(2, bob, 40e6, proof);
        _finish(2);
        bytes32[] memory older = _one(rewards.payoutLeaf(1, ada, 60e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotNewestRoot.selector, 1, 2));
        rewards.claim(1, bob, 40e6, older);
        rewards.claim(2, bob, 40e6, proof);
    }

    function test_a_claim_waits_until_somebody_makes_the_root_final() public {
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.WindowOpen.selector, 1, START + WINDOW, START));
        rewards.claim(1, ada, 60e6, proof);
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 0, 1));
        rewards.claim(0, ada, 60e6, proof);
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 2, 1));
        rewards.claim(2, ada, 60e6, proof);
    }

    function test_another_leaf_is_not_proven(address account, uint256 cumulative) public {
        vm.assume(cumulative != 0 && (account != ada || cumulative != 60e6));
        _finish(1);
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6));
        bytes32 leaf = rewards.payoutLeaf(1, account, cumulative);
        vm.expectRevert(abi.encodeWithSelector(Rewards.ProofInvalid.selector, 1, leaf, rewards.finalRoot()));
        rewards.claim(1, account, cumulative, proof);
    }

    function _batch()
        private
        view
        returns (address[] memory accounts, uint256[] memory totals, bytes32[][] memory proofs)
    {
        (accounts, totals, proofs) = (new address[](2), new uint256[](2), new bytes32[][](2));
        (accounts[0], totals[0], proofs[0]) = (ada, 60e6, _one(rewards.payoutLeaf(1, bob, 40e6)));
        (accounts[1], totals[1], proofs[1]) = (bob, 40e6, _one(rewards.payoutLeaf(1, ada, 60e6)));
    }

    function test_a_batch_pays_what_is_left() public {
        _finish(1);
        _claimAda(1, 60e6, 40e6);
        (address[] memory accounts, uint256[] memory totals, bytes32[][] memory proofs) = _batch();
        vm.expectEmit(address(rewards));
        emit Rewards.Claimed(1, bob, 40e6, 40e6);
        proofs[0] = new bytes32[](0); // left out, so it needs no proof
        rewards.claimMany(1, accounts, totals, proofs);
        proofs[1] = new bytes32[](0);
        rewards.claimMany(1, accounts, totals, proofs);
        vm.assertEq(token.balanceOf(ada), 1_000_060e6);
        vm.assertEq(token.balanceOf(bob), 1_000_040e6);
        vm.assertEq(token.balanceOf(address(rewards)), 0);
    }

    function test_a_batch_with_a_false_row_is_refused_whole() public {
        _finish(1);
        (address[] memory accounts, uint256[] memory totals, bytes32[][] memory proofs) = _batch();
        totals[1] += 1;
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        rewards.claimMany(1, accounts, totals, proofs);
        vm.assertEq(rewards.claimed(ada), 0);
    }

    function test_the_arrays_of_a_batch_have_one_length() public {
        _finish(1);
        (address[] memory accounts, uint256[] memory totals, bytes32[][] memory proofs) = _batch();
        vm.expectRevert(abi.encodeWithSelector(Rewards.LengthMismatch.selector, 2, 2, 0));
        rewards.claimMany(1, accounts, totals, new bytes32[][](0));
        vm.expectRevert(abi.encodeWithSelector(Rewards.LengthMismatch.selector, 2, 3, 2));
        rewards.claimMany(1, accounts, new uint256[](3), proofs);
    }

    function test_what_was_paid_never_falls(uint96 first, uint96 second) public {
        _finish(1);
        uint256 one = _within(first, 1, 50e6);
        uint256 other = _within(second, 0, 100e6);
        _fund(2, 200e6);
        _post(2, one, 0, 0);
        _finish(2);
        rewards.claim(2, ada, one, _one(rewards.payoutLeaf(2, bob, 0)));
        _post(3, other, 0, 0);
        _finish(3);
        bytes32[] memory proof = _one(rewards.payoutLeaf(3, bob, 0));
        if (other <= one) vm.expectRevert(abi.encodeWithSelector(Rewards.NothingToClaim.selector, ada, other, one));
        rewards.claim(3, ada, other, proof);
        vm.assertEq(rewards.claimed(ada), other < one ? one : other);
        vm.assertEq(token.balanceOf(ada), 1_000_000e6 + rewards.claimed(ada));
    }
}
