// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {Rewards} from "../src/Rewards.sol";
import {IPayToken} from "../src/IPayToken.sol";
import {DaoFixture} from "./DaoFixture.sol";

contract RewardsBondTest is DaoFixture {
    bytes32 private constant ID = keccak256("contribution");
    bytes32 private constant OTHER = keccak256("other contribution");

    function _finalSlashes(uint256 slash, uint256 otherSlash) private {
        bytes32 root = _pair(rewards.slashLeaf(1, ID, slash), rewards.slashLeaf(1, OTHER, otherSlash));
        _postRoots(1, 0, root, 0);
        _passWindow();
    }

    function _settle(uint256 slash, uint256 otherSlash) private {
        rewards.settleBond(1, ID, ada, slash, _one(rewards.slashLeaf(1, OTHER, otherSlash)));
    }

    function test_a_bond_is_pulled_by_the_owners_signature() public {
        bytes memory signature = _bondSignature(ADA_KEY, ID, 5e6);
        vm.expectEmit(address(rewards));
        emit Rewards.BondPosted(ID, ada, 5e6);
        vm.prank(stranger);
        rewards.postBond(ID, ada, 5e6, 0, type(uint256).max, signature);
        vm.assertEq(rewards.bondOf(ID, ada), 5e6);
        vm.assertEq(rewards.totalBonds(), 5e6);
        vm.assertEq(token.balanceOf(ada), 999_995e6);
    }

    function test_a_bond_is_posted_once() public {
        _postBond(ADA_KEY, ID, 5e6);
        bytes memory signature = _bondSignature(ADA_KEY, ID, 5e6);
        vm.expectRevert(abi.encodeWithSelector(Rewards.BondKnown.selector, ID, ada, 5e6));
        rewards.postBond(ID, ada, 5e6, 0, type(uint256).max, signature);
    }

    function test_a_bond_is_of_something() public {
        bytes memory signature = _bondSignature(ADA_KEY, ID, 0);
        vm.expectRevert(Rewards.ZeroAmount.selector);
        rewards.postBond(ID, ada, 0, 0, type(uint256).max, signature);
    }

    function test_a_signature_binds_its_contribution_and_amount(bytes32 id, uint256 amount) public {
        vm.assume(amount != 0);
        vm.assume(id != ID || amount != 5e6);
        bytes memory signature = _bondSignature(ADA_KEY, ID, 5e6);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        rewards.postBond(id, ada, amount, 0, type(uint256).max, signature);
        vm.assertEq(rewards.totalBonds(), 0);
    }

    function test_nobody_blocks_a_contribution_by_a_bond_under_its_id() public {
        _postBond(BOB_KEY, ID, 1);
        _postBond(ADA_KEY, ID, 5e6);
        vm.assertEq(rewards.bondOf(ID, ada), 5e6);
        vm.assertEq(rewards.bondOf(ID, bob), 1);
    }

    function _two() private view returns (Rewards.BondAuthorization[] memory bonds) {
        bonds = new Rewards.BondAuthorization[](2);
        (bonds[0].contributionId, bonds[0].owner, bonds[0].amount) = (ID, ada, 5e6);
        (bonds[1].contributionId, bonds[1].owner, bonds[1].amount) = (OTHER, bob, 6e6);
        bonds[0].signature = _bondSignature(ADA_KEY, ID, 5e6);
        bonds[1].signature = _bondSignature(BOB_KEY, OTHER, 6e6);
        (bonds[0].validBefore, bonds[1].validBefore) = (type(uint256).max, type(uint256).max);
    }

    function test_a_batch_of_bonds_leaves_out_those_held() public {
        Rewards.BondAuthorization[] memory bonds = _two();
        _postBond(ADA_KEY, ID, 5e6);
        rewards.postBonds(bonds);
        rewards.postBonds(bonds);
        vm.assertEq(rewards.totalBonds(), 11e6);
        vm.assertEq(token.balanceOf(address(rewards)), 11e6);
    }

    function test_a_batch_with_a_forged_bond_is_refused() public {
        Rewards.BondAuthorization[] memory bonds = _two();
        bonds[1].amount = 7e6;
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        rewards.postBonds(bonds);
        vm.assertEq(rewards.totalBonds(), 0);
    }

    function test_a_bond_goes_back_less_its_slash() public {
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(2e6, 0);
        vm.expectEmit(address(rewards));
        emit Rewards.BondSettled(1, ID, ada, 3e6, 2e6);
        vm.prank(stranger);
        _settle(2e6, 0);
        vm.assertEq(token.balanceOf(ada), 999_998e6);
        vm.assertEq(token.balanceOf(address(treasury)), 1_000_002e6);
        vm.assertEq(rewards.totalBonds(), 0);
    }

    function test_any_slash_up_to_the_bond_conserves_it(uint96 bond, uint96 slash) public {
        uint256 amount = _within(bond, 1, 1_000_000e6);
        uint256 cut = _within(slash, 0, amount);
        _postBond(ADA_KEY, ID, amount);
        _finalSlashes(cut, 0);
        _settle(cut, 0);
        vm.assertEq(token.balanceOf(ada), 1_000_000e6 - cut);
        vm.assertEq(token.balanceOf(address(treasury)), 1_000_000e6 + cut);
    }

    function test_a_bond_is_settled_once() public {
        _postBond(ADA_KEY, ID, 5e6);
        _postBond(BOB_KEY, OTHER, 5e6);
        _finalSlashes(2e6, 0);
        _settle(2e6, 0);
        bytes32[] memory proof = _one(rewards.slashLeaf(1, OTHER, 0));
        vm.expectRevert(abi.encodeWithSelector(Rewards.BondUnknown.selector, ID, ada));
        rewards.settleBond(1, ID, ada, 2e6, proof);
    }

    function test_another_slash_is_not_proven(uint256 slash) public {
        vm.assume(slash != 2e6);
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(2e6, 0);
        bytes32[] memory proof = _one(rewards.slashLeaf(1, OTHER, 0));
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        rewards.settleBond(1, ID, ada, slash, proof);
    }

    function test_a_slash_beyond_the_bond_is_refused() public {
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(6e6, 0);
        bytes32[] memory proof = _one(rewards.slashLeaf(1, OTHER, 0));
        vm.expectRevert(abi.encodeWithSelector(Rewards.SlashExceedsBond.selector, ID, 6e6, 5e6));
        rewards.settleBond(1, ID, ada, 6e6, proof);
    }

    function test_a_bond_waits_for_the_window() public {
        _postBond(ADA_KEY, ID, 5e6);
        bytes32 leaf = rewards.slashLeaf(1, ID, 0);
        _postRoots(1, 0, leaf, 0);
        vm.warp(START + WINDOW - 1);
        vm.expectRevert(abi.encodeWithSelector(Rewards.WindowOpen.selector, 1, START + WINDOW, START + WINDOW - 1));
        rewards.settleBond(1, ID, ada, 0, new bytes32[](0));
        vm.warp(START + WINDOW);
        rewards.settleBond(1, ID, ada, 0, new bytes32[](0));
        vm.assertEq(token.balanceOf(ada), 1_000_000e6);
    }

    function test_an_older_final_root_still_settles() public {
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(2e6, 0);
        _postRoots(2, 0, 0, 0);
        _settle(2e6, 0);
        vm.assertEq(rewards.totalBonds(), 0);
    }

    function test_a_batch_settles_what_is_left() public {
        _postBond(ADA_KEY, ID, 5e6);
        _postBond(BOB_KEY, OTHER, 5e6);
        _finalSlashes(2e6, 1e6);
        Rewards.BondSettlement[] memory rows = new Rewards.BondSettlement[](2);
        rows[0] = Rewards.BondSettlement(ID, ada, 2e6, _one(rewards.slashLeaf(1, OTHER, 1e6)));
        rows[1] = Rewards.BondSettlement(OTHER, bob, 1e6, _one(rewards.slashLeaf(1, ID, 2e6)));
        _settle(2e6, 1e6);
        rewards.settleBonds(1, rows);
        rewards.settleBonds(1, rows);
        vm.assertEq(rewards.totalBonds(), 0);
        vm.assertEq(token.balanceOf(bob), 999_999e6);
    }
}

contract RewardsRootTest is DaoFixture {
    function test_a_root_waits_behind_a_bond_and_a_window() public {
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
        vm.assertEq(rewards.totalRootBonds(), ROOT_BOND);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6 - ROOT_BOND);
        vm.assertFalse(rewards.isFinal(1));
        vm.assertEq(uint256(rewards.newestFinal()), 0);
        _passWindow();
        vm.assertTrue(rewards.isFinal(1));
        vm.assertEq(uint256(rewards.newestFinal()), 1);
        vm.prank(stranger);
        rewards.releaseRootBond(1);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6);
    }

    function test_a_root_bond_is_released_once_and_not_early() public {
        _post(1, 0, 0, 0);
        vm.expectPartialRevert(Rewards.WindowOpen.selector);
        rewards.releaseRootBond(1);
        _passWindow();
        rewards.releaseRootBond(1);
        vm.expectRevert(abi.encodeWithSelector(Rewards.NoRootBond.selector, 1));
        rewards.releaseRootBond(1);
    }

    function test_only_the_owner_posts_resolves_and_returns() public {
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        rewards.postRoot(1, 0, 0, 0, 0, 0);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        rewards.resolve(1, true);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        rewards.returnUnowed(1);
    }

    function test_only_the_treasury_funds() public {
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotTreasury.selector, stranger, address(treasury)));
        vm.prank(stranger);
        rewards.fund(1, 1);
    }

    function test_roots_are_posted_in_order_each_once() public {
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Rewards.TurnOutOfOrder.selector, 2, 1));
        rewards.postRoot(2, 0, 0, 0, 0, 0);
        _post(1, 0, 0, 0);
        _passWindow();
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Rewards.TurnOutOfOrder.selector, 1, 2));
        rewards.postRoot(1, 0, 0, 0, 0, 0);
    }

    function test_a_root_builds_on_a_final_one() public {
        _post(1, 0, 0, 0);
        vm.prank(operator);
        vm.expectPartialRevert(Rewards.WindowOpen.selector);
        rewards.postRoot(2, 0, 0, 0, 0, 0);
        _passWindow();
        _post(2, 0, 0, 0);
        vm.assertEq(uint256(rewards.lastTurn()), 2);
    }

    function test_a_root_pays_at_most_its_pool_and_what_is_funded() public {
        _fund(1, 100e6);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Rewards.PaysMoreThanPool.selector, 50e6 + 1, 50e6));
        rewards.postRoot(1, 0, 0, 50e6, 50e6 + 1, 0);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotFunded.selector, 100e6 + 1, 100e6));
        rewards.postRoot(1, 0, 0, 200e6, 100e6 + 1, 0);
        _post(1, 60e6, 40e6, 100e6);
        _passWindow();
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotFunded.selector, 100e6 + 1, 100e6));
        rewards.postRoot(2, 0, 0, 1, 1, 0);
    }

    function test_what_is_not_owed_can_go_back() public {
        _fund(1, 100e6);
        _post(1, 60e6, 30e6, 90e6);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(Rewards.ExceedsUnowed.selector, 10e6 + 1, 10e6));
        rewards.returnUnowed(10e6 + 1);
        vm.prank(operator);
        vm.expectRevert(Rewards.ZeroAmount.selector);
        rewards.returnUnowed(0);
        vm.prank(operator);
        rewards.returnUnowed(10e6);
        vm.assertEq(token.balanceOf(address(treasury)), 999_910e6);
        vm.assertEq(rewards.totalFunded(), 90e6);
    }

    function test_windows_have_bounds() public {
        (uint64 least, uint64 most) = (1, rewards.MAX_WINDOW());
        uint64[2] memory outside = [0, most + 1];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Rewards.WindowOutOfBounds.selector, outside[i], least, most));
            new Rewards(operator, IPayToken(address(token)), address(treasury), outside[i], 0);
        }
        new Rewards(operator, IPayToken(address(token)), address(treasury), least, 0);
        new Rewards(operator, IPayToken(address(token)), address(treasury), most, 0);
    }

    function _dispute() private {
        vm.prank(stranger);
        rewards.dispute(1, "recomputed");
    }

    function _resolve(bool rootWasWrong) private {
        vm.prank(operator);
        rewards.resolve(1, rootWasWrong);
    }

    function test_a_disputed_root_is_not_final() public {
        _post(1, 0, 0, 0);
        vm.expectEmit(address(rewards));
        emit Rewards.Disputed(1, stranger, "recomputed");
        _dispute();
        _passWindow();
        vm.assertFalse(rewards.isFinal(1));
        vm.expectRevert(abi.encodeWithSelector(Rewards.UnderDispute.selector, 1, stranger));
        rewards.claim(1, ada, 1, new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(Rewards.UnderDispute.selector, 1, stranger));
        _dispute();
    }

    function test_a_wrong_root_is_taken_away_and_its_bond_goes_to_the_challenger() public {
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
        _dispute();
        _resolve(true);
        vm.assertEq(token.balanceOf(stranger), 1_000_000e6 + ROOT_BOND);
        vm.assertEq(rewards.totalRootBonds(), 0);
        vm.assertEq(rewards.totalOwed(), 0);
        vm.assertEq(uint256(rewards.lastTurn()), 0);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 1, 0));
        rewards.claim(1, ada, 60e6, new bytes32[](0));
        _post(1, 50e6, 50e6, 100e6);
        _passWindow();
        rewards.claim(1, ada, 50e6, _one(rewards.payoutLeaf(1, bob, 50e6)));
        vm.assertEq(token.balanceOf(ada), 1_000_050e6);
    }

    function test_a_dismissed_challenge_pays_the_poster_and_the_window_goes_on() public {
        _post(1, 0, 0, 0);
        vm.warp(START + WINDOW / 2);
        _dispute();
        vm.warp(START + 10 * WINDOW);
        _resolve(false);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6);
        vm.assertEq(rewards.totalRootBonds(), ROOT_BOND);
        vm.assertFalse(rewards.isFinal(1));
        _dispute(); // another challenger is not shut out
        _resolve(false);
        vm.warp(START + 10 * WINDOW + WINDOW / 2);
        vm.assertTrue(rewards.isFinal(1));
        rewards.releaseRootBond(1);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6 + 2 * ROOT_BOND);
        vm.assertEq(token.balanceOf(address(rewards)), 0);
    }

    function test_a_dispute_comes_within_the_window() public {
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 1, 0));
        _dispute();
        _post(1, 0, 0, 0);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Rewards.WindowOver.selector, 1, START + WINDOW, START + WINDOW));
        _dispute();
    }

    function test_a_dispute_needs_the_bond() public {
        _post(1, 0, 0, 0);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vm.prank(address(0xdead));
        rewards.dispute(1, 0);
    }

    function test_only_a_dispute_is_resolved() public {
        _post(1, 0, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotDisputed.selector, 1));
        _resolve(true);
    }

    function test_a_bond_of_nothing_moves_nothing() public {
        rewards = new Rewards(operator, IPayToken(address(token)), address(treasury), WINDOW, 0);
        _post(1, 0, 0, 0);
        _dispute();
        _resolve(true);
        _post(1, 0, 0, 0);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Rewards.NoRootBond.selector, 1));
        rewards.releaseRootBond(1);
        vm.assertEq(token.balanceOf(stranger), 1_000_000e6);
    }
}

contract RewardsClaimTest is DaoFixture {
    function setUp() public override {
        super.setUp();
        _fund(1, 100e6);
        _post(1, 60e6, 40e6, 100e6);
    }

    function _claimAda(uint64 turn, uint256 total, uint256 bobTotal) private {
        rewards.claim(turn, ada, total, _one(rewards.payoutLeaf(turn, bob, bobTotal)));
    }

    function test_a_claim_pays_the_account_in_the_leaf() public {
        _passWindow();
        vm.expectEmit(address(rewards));
        emit Rewards.Claimed(1, ada, 60e6, 60e6);
        vm.prank(stranger);
        _claimAda(1, 60e6, 40e6);
        vm.assertEq(token.balanceOf(ada), 1_000_060e6);
        vm.assertEq(token.balanceOf(stranger), 1_000_000e6);
        vm.assertEq(rewards.claimed(ada), 60e6);
    }

    function test_a_claim_pays_once() public {
        _passWindow();
        _claimAda(1, 60e6, 40e6);
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.NothingToClaim.selector, ada, 60e6, 60e6));
        rewards.claim(1, ada, 60e6, proof);
    }

    function test_a_later_claim_pays_the_difference() public {
        _passWindow();
        _claimAda(1, 60e6, 40e6);
        _fund(2, 50e6);
        _post(2, 80e6, 70e6, 50e6);
        _passWindow();
        _claimAda(2, 80e6, 70e6);
        vm.assertEq(token.balanceOf(ada), 1_000_080e6);
        rewards.claim(2, bob, 70e6, _one(rewards.payoutLeaf(2, ada, 80e6)));
        vm.assertEq(token.balanceOf(bob), 1_000_070e6);
    }

    function test_the_last_final_root_stays_claimable_while_the_next_waits() public {
        _passWindow();
        _post(2, 60e6, 40e6, 0);
        _claimAda(1, 60e6, 40e6);
        bytes32[] memory proof = _one(rewards.payoutLeaf(2, ada, 60e6));
        vm.expectPartialRevert(Rewards.WindowOpen.selector);
        rewards.claim(2, bob, 40e6, proof);
        _passWindow();
        bytes32[] memory older = _one(rewards.payoutLeaf(1, ada, 60e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.NotNewestRoot.selector, 1, 2));
        rewards.claim(1, bob, 40e6, older);
        rewards.claim(2, bob, 40e6, proof);
    }

    function test_another_leaf_is_not_proven(address account, uint256 cumulative) public {
        vm.assume(cumulative != 0 && (account != ada || cumulative != 60e6));
        _passWindow();
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6));
        vm.expectPartialRevert(Rewards.ProofInvalid.selector);
        rewards.claim(1, account, cumulative, proof);
    }

    function test_a_proof_of_another_turn_or_contract_is_refused() public {
        _passWindow();
        Rewards other = new Rewards(operator, IPayToken(address(token)), address(treasury), WINDOW, 0);
        bytes32[] memory proof = _one(rewards.payoutLeaf(1, bob, 40e6));
        vm.assertFalse(other.payoutLeaf(1, ada, 60e6) == rewards.payoutLeaf(1, ada, 60e6));
        vm.assertFalse(rewards.payoutLeaf(2, ada, 60e6) == rewards.payoutLeaf(1, ada, 60e6));
        vm.expectRevert(abi.encodeWithSelector(Rewards.RootUnknown.selector, 1, 0));
        other.claim(1, ada, 60e6, proof);
    }

    function test_a_slash_leaf_is_no_payout_leaf() public view {
        bytes32 word = bytes32(uint256(uint160(ada)));
        // Same words, so the two trees are kept apart by their roots alone: a leaf counts only under its own root.
        vm.assertEq(rewards.slashLeaf(1, word, 60e6), rewards.payoutLeaf(1, ada, 60e6));
    }

    function test_a_batch_pays_what_is_left() public {
        _passWindow();
        _claimAda(1, 60e6, 40e6);
        (address[] memory accounts, uint256[] memory totals) = (new address[](2), new uint256[](2));
        bytes32[][] memory proofs = new bytes32[][](2);
        (accounts[0], totals[0], proofs[0]) = (ada, 60e6, _one(rewards.payoutLeaf(1, bob, 40e6)));
        (accounts[1], totals[1], proofs[1]) = (bob, 40e6, _one(rewards.payoutLeaf(1, ada, 60e6)));
        rewards.claimMany(1, accounts, totals, proofs);
        rewards.claimMany(1, accounts, totals, proofs);
        vm.assertEq(rewards.totalClaimed(), 100e6);
        vm.assertEq(token.balanceOf(bob), 1_000_040e6);
        vm.expectRevert(abi.encodeWithSelector(Rewards.LengthMismatch.selector, 2, 2, 0));
        rewards.claimMany(1, accounts, totals, new bytes32[][](0));
    }

    function test_a_wrong_root_that_was_accepted_cannot_touch_a_bond() public {
        _passWindow();
        _postBond(BOB_KEY, "bonded", 500e6);
        _postRoots(2, rewards.payoutLeaf(2, ada, 600e6), 0, 0);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Rewards.ExceedsOwed.selector, 600e6, 100e6));
        rewards.claim(2, ada, 600e6, new bytes32[](0));
    }
}
