// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rewards} from "../src/Rewards.sol";
import {DaoFixture} from "./DaoFixture.sol";

/// @notice Acts on one DAO in any order, as the fuzzer says, and keeps its own books. Its roots may pay more than
/// they should: the promises must hold whatever the operator posts.
contract Actor is DaoFixture {
    uint256 public paidOut; // what claims were seen to pay
    uint256 public bonded; // what owners put in, less what was settled
    uint256 public fell; // times a claimed amount was seen to fall
    uint64 public funded; // turns with a pool
    uint256 public contributions;

    mapping(uint64 turn => uint256[2] totals) private _totals;
    mapping(uint64 turn => uint256[2] slashes) private _slashes;
    uint256[2] private _standing;

    /// @dev One contribution of ada's at a time, so that its verdict is in each turn's slash root.
    function bond(uint256 amount) external {
        bytes32 id = bytes32(contributions);
        if (rewards.bondOf(id, ada) != 0) return;
        amount = _within(amount, 1, 100e6);
        if (token.balanceOf(ada) < amount) return;
        id = bytes32(++contributions);
        _postBond(ADA_KEY, id, amount);
        bonded += amount;
    }

    function fund(uint256 amount) external {
        amount = _within(amount, 1, 100e6);
        if (token.balanceOf(address(treasury)) < amount) return;
        _fund(++funded, amount);
    }

    /// @dev `lie` makes the leaves promise up to twice what `paid` says.
    function post(uint256 paid, uint256 adaShare, uint256 lie, uint256 slash) external {
        uint64 last = rewards.lastTurn();
        if (last != 0 && !rewards.isFinal(last)) return;
        paid = _within(paid, 0, rewards.totalFunded() - rewards.totalOwed());
        uint64 turn = last + 1;
        uint256[2] memory totals = last == 0 ? _standing : _totals[last];
        uint256 promised = paid + (lie % 4 == 0 ? _within(lie, 0, paid) : 0);
        adaShare = _within(adaShare, 0, promised);
        totals[0] += adaShare;
        totals[1] += promised - adaShare;
        _totals[turn] = totals;
        uint256 held = rewards.bondOf(bytes32(contributions), ada);
        _slashes[turn] = [contributions, _within(slash, 0, held)];
        bytes32 root = _pair(rewards.payoutLeaf(turn, ada, totals[0]), rewards.payoutLeaf(turn, bob, totals[1]));
        _postRoots(turn, root, rewards.slashLeaf(turn, bytes32(contributions), _slashes[turn][1]), paid);
    }

    function wait(uint256 time) external {
        vm.warp(block.timestamp + _within(time, 1, WINDOW));
    }

    function dispute() external {
        uint64 last = rewards.lastTurn();
        Rewards.Root memory root = rewards.rootOf(last);
        if (root.challenger != address(0) || block.timestamp >= root.finalAt) return;
        if (token.balanceOf(stranger) < ROOT_BOND) return;
        vm.prank(stranger);
        rewards.dispute(last, "recomputed");
    }

    function resolve(bool rootWasWrong) external {
        uint64 last = rewards.lastTurn();
        if (rewards.rootOf(last).challenger == address(0)) return;
        vm.prank(operator);
        rewards.resolve(last, rootWasWrong);
    }

    function release(uint64 turn) external {
        turn = uint64(_within(turn, 0, rewards.lastTurn()));
        if (!rewards.isFinal(turn) || !rewards.rootOf(turn).bondHeld) return;
        rewards.releaseRootBond(turn);
    }

    function claim(bool forAda) external {
        uint64 turn = rewards.newestFinal();
        if (turn == 0) return;
        (address account, address other) = forAda ? (ada, bob) : (bob, ada);
        (uint256 total, uint256 rest) = (_totals[turn][forAda ? 0 : 1], _totals[turn][forAda ? 1 : 0]);
        (uint256 had, uint256 balance) = (rewards.claimed(account), token.balanceOf(account));
        try rewards.claim(turn, account, total, _one(rewards.payoutLeaf(turn, other, rest))) {
            paidOut += token.balanceOf(account) - balance;
        } catch (bytes memory reason) {
            bytes4 why = bytes4(reason);
            require(why == Rewards.NothingToClaim.selector || why == Rewards.ExceedsOwed.selector, "another refusal");
        }
        if (rewards.claimed(account) < had) ++fell;
    }

    function settle() external {
        uint64 turn = rewards.newestFinal();
        if (turn == 0) return;
        (bytes32 id, uint256 slash) = (bytes32(_slashes[turn][0]), _slashes[turn][1]);
        uint256 held = rewards.bondOf(id, ada);
        if (held == 0) return;
        rewards.settleBond(turn, id, ada, slash, new bytes32[](0));
        bonded -= held;
    }

    function takeBack(uint256 amount) external {
        uint256 unowed = rewards.totalFunded() - rewards.totalOwed();
        if (unowed == 0) return;
        vm.prank(operator);
        rewards.returnUnowed(_within(amount, 1, unowed));
    }

    function view_() external view returns (Rewards) {
        return rewards;
    }

    function money() external view returns (uint256) {
        return token.balanceOf(address(rewards));
    }
}

contract RewardsInvariants is DaoFixture {
    Actor private _actor;
    Rewards private _rewards;

    function setUp() public override {
        _actor = new Actor();
        _actor.setUp();
        _rewards = _actor.view_();
    }

    /// @notice Names the contract whose functions the fuzzer calls.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_actor);
    }

    /// @notice The set-up is not an act.
    function excludeSelectors() public view returns (FuzzSelector[] memory excluded) {
        excluded = new FuzzSelector[](1);
        excluded[0].addr = address(_actor);
        excluded[0].selectors = new bytes4[](1);
        excluded[0].selectors[0] = DaoFixture.setUp.selector;
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function invariant_it_holds_exactly_what_it_answers_for() public view {
        uint256 answers =
            _rewards.totalFunded() - _rewards.totalClaimed() + _rewards.totalBonds() + _rewards.totalRootBonds();
        vm.assertEq(_actor.money(), answers, "balance");
    }

    function invariant_claims_stay_within_what_is_owed_and_funded() public view {
        uint64 turn = _rewards.newestFinal();
        vm.assertLe(_rewards.totalClaimed(), _rewards.rootOf(turn).owed, "claimed <= owed at the newest final turn");
        vm.assertLe(_rewards.rootOf(turn).owed, _rewards.totalOwed(), "owed then <= owed now");
        vm.assertLe(_rewards.totalOwed(), _rewards.totalFunded(), "owed <= funded");
    }

    function invariant_books_agree() public view {
        vm.assertEq(_rewards.totalClaimed(), _actor.paidOut(), "claimed");
        vm.assertEq(_rewards.totalBonds(), _actor.bonded(), "bonds");
        vm.assertEq(_actor.fell(), 0, "claimed amounts never fall");
    }

    /// @notice The acts must come about, or the promises above would hold of nothing.
    function test_the_actor_reaches_every_act() public {
        _actor.bond(5e6);
        _actor.fund(100e6 - 1);
        _actor.post(40e6, 30e6, 1, 2e6);
        _actor.dispute();
        _actor.resolve(true);
        _actor.post(40e6, 30e6, 1, 2e6);
        vm.assertEq(uint256(_rewards.lastTurn()), 1);
        vm.warp(START + WINDOW + 1);
        _actor.claim(true);
        _actor.claim(false);
        _actor.settle();
        _actor.release(1);
        _actor.takeBack(type(uint256).max);
        vm.assertEq(_actor.paidOut(), _rewards.totalOwed());
        vm.assertLt(0, _actor.paidOut(), "something was paid");
        vm.assertEq(_actor.bonded(), 0);
        vm.assertEq(_rewards.totalRootBonds(), 0);
    }
}
